//! Whom an attempt is given to: one face for providers of calls, text messages and e-mails.

use std::sync::Arc;

use super::Inner;
use crate::domain::{Call, CallsPerSecond, Medium, ProviderName};
use crate::limit::{Pace, PaceKey};
use crate::policy::RunTerms;
use crate::policy::follow_up::FollowUpAction;
use crate::provider::{
    CallLookup, EmailProvider, FindCall, FindSms, ProviderError, ProviderErrorKind, SmsLookup, SmsProvider,
    VoiceCapabilities, VoiceProvider,
};

/// A provider of whatever medium.
#[derive(Debug, Clone)]
pub(super) struct Carrier {
    pub(super) name: ProviderName,
    pub(super) provider: AnyProvider,
}

#[derive(Debug, Clone)]
pub(super) enum AnyProvider {
    Voice(Arc<dyn VoiceProvider>),
    Sms(Arc<dyn SmsProvider>),
    Email(Arc<dyn EmailProvider>),
}

impl From<&Arc<dyn VoiceProvider>> for Carrier {
    fn from(provider: &Arc<dyn VoiceProvider>) -> Self {
        Self { name: provider.name(), provider: AnyProvider::Voice(provider.clone()) }
    }
}

impl From<&Arc<dyn SmsProvider>> for Carrier {
    fn from(provider: &Arc<dyn SmsProvider>) -> Self {
        Self { name: provider.name(), provider: AnyProvider::Sms(provider.clone()) }
    }
}

impl From<&Arc<dyn EmailProvider>> for Carrier {
    fn from(provider: &Arc<dyn EmailProvider>) -> Self {
        Self { name: provider.name(), provider: AnyProvider::Email(provider.clone()) }
    }
}

impl Carrier {
    /// What it can do, in the words of voice: a message is looked up like a call, and never hung up.
    pub(super) fn capabilities(&self) -> VoiceCapabilities {
        match &self.provider {
            AnyProvider::Voice(provider) => provider.capabilities(),
            AnyProvider::Sms(provider) => {
                let sms = provider.capabilities();
                VoiceCapabilities {
                    idempotent_placement: sms.idempotent_sending,
                    lookup: sms.lookup,
                    hang_up: false,
                    calls_per_second: sms.messages_per_second,
                    settles_after: sms.settles_after,
                    ..VoiceCapabilities::default()
                }
            }
            AnyProvider::Email(provider) => VoiceCapabilities {
                calls_per_second: provider.emails_per_second(),
                ..VoiceCapabilities::default()
            },
        }
    }

    /// Whether it tells what became of a message.
    pub(super) fn receipts(&self) -> bool {
        matches!(&self.provider, AnyProvider::Sms(provider) if provider.capabilities().receipts)
    }

    /// Looks an attempt up.
    pub(super) async fn find(&self, call: &Call) -> Result<CallLookup, ProviderError> {
        match &self.provider {
            AnyProvider::Voice(provider) => provider.find_call(&query(call)).await,
            AnyProvider::Sms(provider) => {
                let query = FindSms {
                    message_id: call.id,
                    reference: call.provider_ref.clone(),
                    to: call.number,
                    intended_at: call.intended_at,
                };
                Ok(match provider.find_sms(&query).await? {
                    SmsLookup::Found(updates) => CallLookup::Found(updates),
                    SmsLookup::NotFound => CallLookup::NotFound,
                })
            }
            AnyProvider::Email(_) => {
                Err(ProviderError::not_sent(&self.name, "find_email", ProviderErrorKind::Unsupported))
            }
        }
    }

    /// Ends a call.
    pub(super) async fn hang_up(&self, call: &Call) -> Result<(), ProviderError> {
        match &self.provider {
            AnyProvider::Voice(provider) => provider.hang_up(&query(call)).await,
            _ => Err(ProviderError::not_sent(&self.name, "hang_up", ProviderErrorKind::Unsupported)),
        }
    }

    /// Everything that paces an attempt of this run.
    pub(super) fn paces(&self, terms: &RunTerms) -> Vec<Pace> {
        let (run, organization) = (&terms.run, &terms.organization);
        let (limits, own) = (&organization.limits, &run.definition.limits);
        let mut rates = vec![(PaceKey::Provider(self.name.clone()), self.capabilities().calls_per_second)];
        match &self.provider {
            AnyProvider::Voice(_) => rates.extend([
                (PaceKey::Organization(run.org_id), limits.calls_per_second),
                (PaceKey::Campaign(run.campaign_id), own.calls_per_second),
                (PaceKey::CallerId(organization.caller_id), limits.caller_id_calls_per_second),
            ]),
            AnyProvider::Sms(_) | AnyProvider::Email(_) => rates.extend([
                (PaceKey::Messages(run.org_id), limits.messages_per_second),
                (PaceKey::CampaignMessages(run.campaign_id), own.messages_per_second),
            ]),
        }
        if let AnyProvider::Sms(provider) = &self.provider {
            let rate = provider.capabilities().sender_messages_per_second;
            rates.extend(senders(terms).into_iter().map(|sender| (PaceKey::Sender(sender), rate)));
        }
        let paced = |(key, rate): (PaceKey, Option<CallsPerSecond>)| Some(Pace { key, rate: rate? });
        rates.into_iter().filter_map(paced).collect()
    }
}

/// Everyone the text messages of a run may come from.
fn senders(terms: &RunTerms) -> std::collections::BTreeSet<String> {
    let definition = &terms.run.definition;
    let own = definition.message.text.as_ref().map(|_| definition.message.sender.clone());
    let steps = definition.follow_up.iter().filter_map(|step| match &step.action {
        FollowUpAction::Sms(text) => Some(text.sender.clone()),
        _ => None,
    });
    own.into_iter()
        .chain(steps)
        .map(|sender| sender.unwrap_or_else(|| terms.organization.sender()).expose())
        .collect()
}

pub(super) fn query(call: &Call) -> FindCall {
    FindCall {
        call_id: call.id,
        reference: call.provider_ref.clone(),
        to: call.number,
        intended_at: call.intended_at,
    }
}

impl Inner {
    /// The providers of a medium, the one to be preferred first.
    pub(super) fn carriers_of(&self, medium: Medium) -> Vec<Carrier> {
        match medium {
            Medium::Voice => self.voice.iter().map(Carrier::from).collect(),
            Medium::Sms => self.sms.iter().map(Carrier::from).collect(),
            Medium::Email => self.email.iter().map(Carrier::from).collect(),
        }
    }

    /// The provider of this name.
    pub(super) fn carrier(&self, name: &ProviderName) -> Option<Carrier> {
        Medium::ALL
            .into_iter()
            .flat_map(|medium| self.carriers_of(medium))
            .find(|carrier| carrier.name == *name)
    }
}
