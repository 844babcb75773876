//! Whether a server has what we need of it: asked once for each link.

use http::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::json;

use crate::ari::{AriError, Client};
use crate::options::AsteriskOptions;
use crate::server::Server;

/// Something that may be missing, and what comes of that.
struct Need {
    /// A module, or the arguments of `DIALPLAN_EXISTS`.
    what: String,
    without: &'static str,
}

/// Notes and warns of everything that is missing on a server. What cannot be asked is taken to be there.
pub(crate) async fn check(server: &Server, options: &AsteriskOptions) {
    let mut missing = missing_places(&server.client, options).await.unwrap_or_else(|error| {
        tracing::debug!(server = server.name, %error, "the dialplan could not be checked");
        Vec::new()
    });
    if options.hearing.is_some() && is_without(&server.client, "chan_websocket.so").await {
        let without = "what callees say is not heard";
        missing.push(Need { what: "chan_websocket.so".into(), without });
    }
    for Need { what, without } in &missing {
        tracing::warn!(server = server.name, "{what} is missing, see docs/asterisk.md: {without}");
    }
    server.note_missing(missing.into_iter().map(|need| need.what).collect());
}

async fn missing_places(client: &Client, options: &AsteriskOptions) -> Result<Vec<Need>, AriError> {
    // Functions of the dialplan can be asked on a channel only: one that calls nobody.
    let channel = format!("rivvi-check-{:016x}", StdRng::from_os_rng().next_u64());
    let endpoint = format!("Local/ended@{}", options.context);
    let query = [("endpoint", endpoint.as_str()), ("app", &options.app), ("channelId", &channel)];
    let body = json!({ "variables": { "CDR_PROP(disable)": "1" } });
    client.tell(Method::POST, "channels/create", &query, Some(body)).await?;
    let asked = ask(client, &channel, places(options)).await;
    client.hang_up(&channel).await?;
    asked
}

async fn ask(client: &Client, channel: &str, places: Vec<Need>) -> Result<Vec<Need>, AriError> {
    let mut missing = Vec::new();
    for place in places {
        let function = format!("DIALPLAN_EXISTS({})", place.what);
        // Nothing is known if it is empty: the function itself is not there.
        if client.channel_variable(channel, &function).await?.as_deref() == Some("0") {
            missing.push(place);
        }
    }
    Ok(missing)
}

fn places(options: &AsteriskOptions) -> Vec<Need> {
    let own = |extension, without| Need { what: format!("{},{extension},1", options.context), without };
    let mut places = vec![
        own("detect", "calls whose flow wants to know who answered end then"),
        own("ended", "calls that end while this process is away settle as unknown"),
    ];
    let without = "calls of campaigns without a flow end when they are answered";
    places.extend(options.agents_context.iter().map(|context| Need { what: context.clone(), without }));
    places
}

async fn is_without(client: &Client, module: &str) -> bool {
    let there = client.tell(Method::GET, &format!("asterisk/modules/{module}"), &[], None).await;
    there.is_err_and(|error| error.status() == Some(StatusCode::NOT_FOUND))
}
