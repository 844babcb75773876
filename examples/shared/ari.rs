//! How to reach Asterisk: options of the command line.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rivvi::domain::Secret;
use rivvi::provider::{AudioFormat, SpeechSynthesizer};
use rivvi::providers::{AsteriskOptions, AsteriskServer, Speech, SpeechMedia};

use crate::shared::outcome::Failure;

#[derive(Debug, Args)]
pub(crate) struct AriOptions {
    /// Where ARI is: http://HOST:PORT[/PREFIX]; several times for several servers
    #[arg(long, value_name = "URL")]
    ari: Vec<String>,
    /// User of ari.conf
    #[arg(long, value_name = "NAME", default_value = "rivvi")]
    user: String,
    /// Their password
    #[arg(long, value_name = "TEXT", env = "RIVVI_ARI_PASSWORD", hide_env_values = true, value_parser = secret)]
    password: Option<Secret>,
    /// ARI application: one for each process, the same after each restart
    #[arg(long, value_name = "NAME", default_value = "rivvi")]
    pub(crate) app: String,
    /// Whom to dial; {number} stands for the number
    #[arg(long, value_name = "ENDPOINT", default_value = "PJSIP/{number}@trunk")]
    endpoint: String,
    /// Folder that Asterisk reads under the same path: texts are spoken into it [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    speech: Option<PathBuf>,
}

impl AriOptions {
    /// How calls are placed. Speech lies in `folder` if no other is named.
    pub(crate) fn asterisk(
        &self,
        synthesizer: Arc<dyn SpeechSynthesizer>,
        folder: PathBuf,
    ) -> AsteriskOptions {
        let mut options = AsteriskOptions::default();
        options.app.clone_from(&self.app);
        options.endpoint.clone_from(&self.endpoint);
        let here = self.speech.clone().unwrap_or(folder);
        let here = std::path::absolute(&here).unwrap_or(here);
        let media = SpeechMedia::Folder { there: here.to_string_lossy().into_owned(), here };
        options.speech = Some(Speech { synthesizer, format: AudioFormat::Linear8k, media });
        options
    }

    pub(crate) fn servers(&self) -> Result<Vec<AsteriskServer>, Failure> {
        let missing =
            |what: &str| Failure::Input(format!("{what} is missing: expected it for calls on Asterisk"));
        if self.ari.is_empty() {
            return Err(missing("--ari"));
        }
        let password = self.password.clone().ok_or_else(|| missing("--password or RIVVI_ARI_PASSWORD"))?;
        let server = |(place, url): (usize, &String)| {
            let name = format!("pbx{}", place + 1);
            AsteriskServer::with_user(&name, url, &self.user, password.clone())
                .map_err(|error| Failure::Input(format!("--ari: {error}")))
        };
        self.ari.iter().enumerate().map(server).collect()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what clap expects of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}
