//! Why a contact was or was not called.

use std::fmt;

use super::{Inner, Rivvi};
use crate::domain::{
    Aggregate, Call, Contact, ContactId, ContactState, E164, Event, JournalEntry, Medium, Run, RunId,
};
use crate::policy::{Decision, Explanation, Question};
use crate::storage::{ContactQuery, StorageError, StorageErrorKind};

/// Why a contact was or was not called: what happened, and what the rules say now.
///
/// `Display` tells it to people, without number or name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ContactExplanation {
    /// The contact as it is now.
    pub contact: Contact,
    /// Its calls, oldest first.
    pub calls: Vec<Call>,
    /// Everything that happened to it; nothing while it waits in the blob store for the start of its run.
    pub journal: Vec<JournalEntry>,
    /// What each rule says at this instant; `None` once the contact is settled or while a call is live.
    pub now: Option<Explanation>,
}

/// Entries read in one step.
const BATCH: usize = 1_000;

impl Rivvi {
    /// Why a contact was or was not called, which rule decided, and the next legal instant.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such contact, or no longer.
    pub async fn explain(&self, contact: ContactId) -> Result<ContactExplanation, StorageError> {
        self.inner.explain(contact).await
    }

    /// Like [`explain`](Self::explain), for each contact of a run with a number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn explain_number(
        &self,
        run_id: RunId,
        number: E164,
    ) -> Result<Vec<ContactExplanation>, StorageError> {
        let query = ContactQuery { run_id, number: Some(number), after: None, limit: BATCH };
        let mut explanations = Vec::new();
        for contact in self.inner.storage.ledger.contacts(query).await? {
            explanations.push(self.inner.explain(contact.id).await?);
        }
        if explanations.is_empty() {
            for (contact, run) in self.inner.number_in_blobs(run_id, number, "explain").await? {
                explanations.push(self.inner.explain_unloaded(contact, run).await?);
            }
        }
        Ok(explanations)
    }
}

impl Inner {
    async fn explain(&self, id: ContactId) -> Result<ContactExplanation, StorageError> {
        let ledger = &self.storage.ledger;
        let Some(contact) = ledger.contact(id).await? else {
            let waiting = self.contact_in_blobs(id, "explain").await?;
            let (contact, run) = waiting.ok_or_else(|| {
                StorageError::new(StorageErrorKind::NotFound, "explain", format!("no contact {id}"))
            })?;
            return self.explain_unloaded(contact, run).await;
        };
        let mut journal = Vec::new();
        loop {
            let page = ledger.journal(Aggregate::Contact(id), journal.len() as u64, BATCH).await?;
            if page.is_empty() {
                break;
            }
            journal.extend(page);
        }
        let now = match (contact.status.state, ledger.run(contact.run_id).await?) {
            (ContactState::Waiting { .. }, Some(run)) => self.rules_now(&contact, run).await?,
            _ => None,
        };
        Ok(ContactExplanation { calls: ledger.calls_of(&[id]).await?, contact, journal, now })
    }

    /// A contact that waits in the blob store for the start of its run: nothing happened to it yet.
    async fn explain_unloaded(&self, contact: Contact, run: Run) -> Result<ContactExplanation, StorageError> {
        let now = self.rules_now(&contact, run).await?;
        Ok(ContactExplanation { contact, calls: Vec::new(), journal: Vec::new(), now })
    }

    async fn rules_now(&self, contact: &Contact, run: Run) -> Result<Option<Explanation>, StorageError> {
        let Some(terms) = self.terms_of(run).await? else { return Ok(None) };
        let now = self.clock.now();
        let number = self.storage.ledger.number_facts(contact.org_id, contact.number, now).await?;
        let question = Question { now, asked_at: now, terms: &terms, contact, number: &number };
        Ok(Some(self.policy.explain(&question)))
    }
}

impl fmt::Display for ContactExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones: Vec<&str> = self.contact.zones.zones.iter().map(|zone| zone.name()).collect();
        let zones = if zones.is_empty() { "none known".to_owned() } else { zones.join(", ") };
        writeln!(f, "contact {} (row {}), zone {zones}", self.contact.id, self.contact.row)?;
        for entry in &self.journal {
            let at = entry.at.format("%Y-%m-%d %H:%M:%S");
            writeln!(f, "  {at}  {}", describe(&entry.event))?;
        }
        match self.contact.status.state {
            ContactState::Settled { outcome, exclusion, .. } => {
                write!(f, "settled: {outcome}")?;
                exclusion.map_or(Ok(()), |reason| write!(f, " ({})", reason.name()))
            }
            ContactState::Calling { call_id } => write!(f, "call {call_id} is live"),
            ContactState::Waiting { due_at } => {
                writeln!(f, "waiting until {}", due_at.format("%Y-%m-%d %H:%M:%S"))?;
                self.now.as_ref().map_or(Ok(()), |now| describe_rules(f, now))
            }
        }
    }
}

fn describe_rules(f: &mut fmt::Formatter<'_>, now: &Explanation) -> fmt::Result {
    use crate::policy::Finding;
    writeln!(f, "the rules at {}:", now.at.format("%Y-%m-%d %H:%M:%S"))?;
    for step in &now.trace {
        match &step.finding {
            Finding::Pass => writeln!(f, "  {:<16} pass", step.rule)?,
            Finding::PassUntil(end) => writeln!(f, "  {:<16} pass until {}", step.rule, end.format("%F %T"))?,
            Finding::Wait { until, reason } => {
                writeln!(f, "  {:<16} wait until {}: {reason}", step.rule, until.format("%F %T"))?;
            }
            Finding::Never { outcome, reason, .. } => {
                writeln!(f, "  {:<16} never ({outcome}): {reason}", step.rule)?;
            }
        }
    }
    match &now.decision {
        Decision::Allow { until } => write!(f, "may be called now, until {}", until.format("%F %T")),
        Decision::Defer { until, rule, reason } => {
            write!(f, "next legal instant {}; {rule} decides: {reason}", until.format("%F %T"))
        }
        Decision::Never { outcome, rule, reason, .. } => {
            write!(f, "never in this run ({outcome}); {rule} decides: {reason}")
        }
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::ContactImported { row } => format!("imported from row {row}"),
        Event::ContactDeferred { until, rule, reason } => {
            format!("deferred until {}; {rule}: {reason}", until.format("%F %T"))
        }
        Event::CallIntended { call_id, attempt, legal_until, medium } => {
            let what = if *medium == Medium::Voice { "call" } else { "message" };
            format!("attempt {attempt} allowed until {}: {what} {call_id}", legal_until.format("%F %T"))
        }
        Event::CallPlaced { provider, .. } => format!("placed at {provider}"),
        Event::CallUnknown { reason, .. } => format!("the provider's answer was lost: {reason}"),
        Event::CallRepeated { .. } => "the provider is asked again for the same call".into(),
        Event::CallRinging { .. } => "ringing".into(),
        Event::CallAnswered { by, .. } => format!("answered by {by:?}").to_lowercase(),
        Event::ActionRequested { action, .. } => format!("asked for the action {action}"),
        Event::OptedOut { .. } => "asked not to be contacted again".into(),
        Event::CallbackRequested { at, .. } => format!("asked to be called at {}", at.format("%F %T")),
        Event::CallEnded { disposition, provider_reason, .. } => match provider_reason {
            Some(reason) => format!("ended: {disposition} ({reason})"),
            None => format!("ended: {disposition}"),
        },
        Event::MessageDelivery { state, failure, code, .. } => {
            let reason = failure.map(|failure| format!(" ({})", failure.name())).unwrap_or_default();
            let code = code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
            format!("the message is {state}{reason}{code}")
        }
        Event::MessageReplied { .. } => "answered the message".into(),
        Event::MessageOpened { .. } => "opened the message".into(),
        Event::FollowUpPlanned { step, at } => format!("follow-up {step} planned for {}", at.format("%F %T")),
        Event::FollowUpSkipped { step, rule, reason } => {
            format!("follow-up {step} left out; {rule}: {reason}")
        }
        Event::CalledBack { .. } => "calls back".into(),
        Event::InboundEnded { disposition, .. } => format!("the call back ended: {disposition}"),
        Event::CallEnriched { .. } => "more became known about the call".into(),
        Event::RetryPlanned { at, cause: Some(cause), number } => {
            format!("retry {number} after {cause} planned for {}", at.format("%F %T"))
        }
        Event::RetryPlanned { at, cause: None, .. } => {
            format!("to be called again at {}", at.format("%F %T"))
        }
        Event::ContactSettled { outcome, rule, reason, .. } => {
            format!("settled: {outcome}; {rule}: {reason}")
        }
        other => other.name().replace('_', " "),
    }
}
