//! Scripts: what Redis does as one step.

use fred::interfaces::LuaInterface;
use fred::types::{Key, Value, scripts};

use crate::connection::Redis;
use crate::error::RedisError;

/// A script that Redis keeps once it has seen it, and is then told by its digest.
#[derive(Debug)]
pub(crate) struct Script(scripts::Script);

impl Script {
    pub(crate) fn new(lua: impl Into<String>) -> Self {
        Self(scripts::Script::from_lua(lua.into()))
    }

    /// Runs the script; `None` if this server process has not seen it yet. All keys must share a hash tag.
    pub(crate) async fn run_known(
        &self,
        redis: &Redis,
        keys: Vec<Key>,
        arguments: Vec<Value>,
    ) -> Result<Option<Value>, RedisError> {
        let run = async {
            match redis.client().evalsha::<Value, _, _, _>(self.0.sha1().clone(), keys, arguments).await {
                Err(error) if error.details().starts_with("NOSCRIPT") => Ok(None),
                answer => answer.map(Some),
            }
        };
        redis.answer(run).await
    }

    /// Runs the script and has Redis keep it.
    pub(crate) async fn run_new(
        &self,
        redis: &Redis,
        keys: Vec<Key>,
        arguments: Vec<Value>,
    ) -> Result<Value, RedisError> {
        let lua = self.0.lua().cloned().unwrap_or_default();
        redis.answer(redis.client().eval(lua, keys, arguments)).await
    }

    /// Runs the script, known or not.
    pub(crate) async fn run(
        &self,
        redis: &Redis,
        keys: Vec<Key>,
        arguments: Vec<Value>,
    ) -> Result<Value, RedisError> {
        match self.run_known(redis, keys.clone(), arguments.clone()).await? {
            Some(answer) => Ok(answer),
            None => self.run_new(redis, keys, arguments).await,
        }
    }
}
