//! The words of the domain: organizations, campaigns, runs, contacts, calls, and how they end.
//!
//! Plain data without I/O. How the data changes is decided in [`machine`](crate::machine) and
//! [`policy`](crate::policy); where it is kept is told in [`storage`](crate::storage).

mod call;
mod campaign;
mod contact;
mod disposition;
mod event;
mod ids;
mod message;
mod organization;
mod person;
mod personal;
mod phone;
mod prompt;
mod run;
mod span;
mod suppression;

pub use call::{Call, CallDetail, CallState, Currency, Direction, Lease, Money, ProviderName, ResponseTime};
pub use campaign::{
    AtEnd, CallSettings, Campaign, CampaignDefinition, CampaignError, CampaignLimits, Channel,
    ImportSettings, InboundSettings, MessageSettings, RunSettings,
};
pub use contact::{Contact, ContactState, ContactStatus, Exclusion, Priority};
pub use disposition::{Disposition, Outcome};
pub use event::{Aggregate, Event, JournalEntry};
pub use ids::{CallId, CampaignId, ContactId, IdSource, ItemId, NodeId, OrgId, PersonId, RunId};
pub use message::{
    DeliveryFailure, DeliveryState, EmailAddress, Medium, Message, MessageDelivery, MessageEncoding,
    MessageSize, Reply, Sender,
};
pub use organization::{CallerId, CallsPerSecond, OptOutSettings, Organization, OrganizationLimits};
pub use person::{Person, PersonFields};
pub use personal::{Personal, Secret};
pub use phone::{E164, NumberKind, PhoneError, Region, UnknownRegion};
pub use prompt::{ContactVariables, Prompt};
pub use run::{Ending, MessageTally, Run, RunState, RunTally};
pub use span::{Span, SpanError};
pub use suppression::{Suppression, SuppressionSource};
