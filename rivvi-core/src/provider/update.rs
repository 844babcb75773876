//! What providers tell about calls.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{
    CallDetail, CallId, DeliveryFailure, DeliveryState, Disposition, Personal, ProviderName, RunId,
};

/// Something a provider tells about a call, by event, webhook or lookup.
///
/// Updates may come late, twice and in any order; applying them has the same effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallUpdate {
    /// Which call.
    pub call: CallRef,
    /// When it happened, by the provider's clock.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: CallEvent,
}

/// How an update names its call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallRef {
    /// By our id, which the provider got as client reference.
    Id(CallId),
    /// By the provider's own id.
    Provider {
        /// Whose id.
        provider: ProviderName,
        /// The id.
        reference: String,
    },
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum CallEvent {
    /// The provider has the call.
    Accepted {
        /// The provider's own id of it.
        reference: Option<String>,
    },
    /// The callee's phone rings.
    Ringing,
    /// Someone or something answered.
    Answered {
        /// Who or what.
        by: Answerer,
    },
    /// The conversation asks for an action of the host, for instance after a key was pressed.
    Action {
        /// Tells this request apart from others of the call: the same key takes effect once.
        key: String,
        /// The name under which the host registered the action.
        name: String,
        /// What the conversation gives to the action.
        parameters: Personal<BTreeMap<String, String>>,
    },
    /// The callee does not want to be contacted again. Takes effect at once.
    OptOut,
    /// The callee asked to be called again at an instant.
    Callback {
        /// When; moved to the next legal instant.
        at: DateTime<Utc>,
    },
    /// Something happens to a call in which the contact calls back. [`CallUpdate::call`] is the outbound call that it
    /// answers.
    CalledBack {
        /// The inbound call.
        inbound: InboundRef,
        /// What happens to it; nothing if it is `CalledBack` itself.
        event: Box<CallEvent>,
    },
    /// What became of a text message or an e-mail. May come in any order: what is known is never left for an earlier state.
    Delivery {
        /// Where it is.
        state: DeliveryState,
        /// Why it did not arrive, if it did not.
        failure: Option<DeliveryFailure>,
        /// The provider's own code for that.
        code: Option<String>,
    },
    /// The contact answered a text message.
    Replied {
        /// The provider's id of the answer: the same answer is kept once.
        id: String,
        /// What it says.
        text: Personal<String>,
    },
    /// The message was opened, as far as can be told.
    Opened,
    /// A link of the message was followed.
    Clicked {
        /// Tells this time apart from others: the same key counts once.
        key: String,
    },
    /// The call is over.
    Ended {
        /// How.
        disposition: Disposition,
        /// The provider's own word for it.
        reason: Option<String>,
        /// From answer to end.
        talk_time: Option<Duration>,
    },
    /// Analysis, recording, transcript or cost; fields that are set replace what was known.
    Enriched {
        /// What is new.
        detail: Box<CallDetail>,
    },
}

/// Names an inbound call to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InboundRef {
    /// Our id of it.
    pub call_id: CallId,
    /// The run of the outbound call it answers.
    pub run_id: RunId,
    /// The provider it came through.
    pub provider: ProviderName,
}

/// Who or what answered a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answerer {
    /// A human.
    Human,
    /// A voicemail or another machine.
    Machine,
    /// Not told apart, or not yet.
    Unknown,
}
