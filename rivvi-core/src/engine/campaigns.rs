//! Campaigns, through the front.

use super::Inner;
use crate::domain::{Aggregate, Campaign, CampaignDefinition, CampaignId, Event, JournalEntry, OrgId};
use crate::policy::follow_up::{FollowUpAction, PlanEvent};
use crate::storage::{StorageError, StorageErrorKind};

/// Campaigns. Got from [`Rivvi::campaigns`](super::Rivvi::campaigns).
#[derive(Debug, Clone, Copy)]
pub struct Campaigns<'a> {
    pub(super) inner: &'a Inner,
}

impl Campaigns<'_> {
    /// Adds a campaign of an organization, at version 1.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such organization,
    /// [`Refused`](StorageErrorKind::Refused) if the definition makes no sense, or its flow together with the campaign and
    /// the actions registered with this engine.
    pub async fn create(
        &self,
        org_id: OrgId,
        definition: CampaignDefinition,
    ) -> Result<Campaign, StorageError> {
        let definition = validated("create_campaign", definition)?;
        self.check_flow("create_campaign", &definition)?;
        if self.inner.storage.catalog.organization(org_id).await?.is_none() {
            let context = format!("no organization {org_id}");
            return Err(StorageError::new(StorageErrorKind::NotFound, "create_campaign", context));
        }
        let id = CampaignId::from_uuid(self.inner.ids.next(self.inner.clock.now()));
        let campaign = Campaign { id, org_id, version: 1, definition };
        self.inner.storage.catalog.add_campaign(campaign.clone()).await?;
        self.inner.journal_versions(&campaign, None).await?;
        Ok(campaign)
    }

    /// Adds the next version of a campaign, unless the latest has this definition already. Runs keep the version
    /// they were created with.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such campaign, [`Refused`](StorageErrorKind::Refused) as
    /// for [`create`](Self::create).
    pub async fn revise(
        &self,
        id: CampaignId,
        definition: CampaignDefinition,
    ) -> Result<Campaign, StorageError> {
        let definition = validated("revise_campaign", definition)?;
        let latest = self.latest(id).await?;
        self.follow(latest, definition, None).await
    }

    /// Sets or takes away the organization's own part of a campaign's prompt, as a new version of the campaign, unless the
    /// latest has it already. The part that is fixed stays. `by` says who does it, as the host calls them, for the journal:
    /// no name, but for instance an id.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such campaign, [`Refused`](StorageErrorKind::Refused) if it
    /// has no prompt, the text is no [template](crate::flow::Template), or the prompt gets too long.
    pub async fn set_prompt_addition(
        &self,
        id: CampaignId,
        addition: Option<&str>,
        by: &str,
    ) -> Result<Campaign, StorageError> {
        let refused =
            |problem: String| StorageError::new(StorageErrorKind::Refused, "revise_campaign", problem);
        let latest = self.latest(id).await?;
        let mut definition = latest.definition.clone();
        let Some(prompt) = &mut definition.prompt else {
            return Err(refused("the campaign has no prompt to add to: expected `prompt.base`".into()));
        };
        let addition = addition.map(str::parse).transpose();
        prompt.addition = addition.map_err(|error| refused(format!("prompt.addition: {error}")))?;
        let definition = definition.validated().map_err(|error| refused(error.to_string()))?;
        self.follow(latest, definition, Some(by)).await
    }

    /// The changes of a campaign, oldest first: its versions, who made them, and which of them changed the prompt. The
    /// first `limit` after version `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn history(
        &self,
        id: CampaignId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError> {
        self.inner.storage.ledger.journal(Aggregate::Campaign(id), u64::from(after), limit).await
    }

    async fn latest(&self, id: CampaignId) -> Result<Campaign, StorageError> {
        self.find(id).await?.ok_or_else(|| {
            StorageError::new(StorageErrorKind::NotFound, "revise_campaign", format!("no campaign {id}"))
        })
    }

    /// Adds the version after `latest`, unless it is the same.
    async fn follow(
        &self,
        latest: Campaign,
        definition: CampaignDefinition,
        by: Option<&str>,
    ) -> Result<Campaign, StorageError> {
        let mut campaign = latest;
        if campaign.definition != definition {
            // What another left untold is told first, without the name that is known here.
            self.inner.journal_versions(&campaign, None).await?;
            campaign = Campaign { version: campaign.version + 1, definition, ..campaign };
            self.inner.storage.catalog.add_campaign(campaign.clone()).await?;
        }
        self.inner.journal_versions(&campaign, by).await?;
        Ok(campaign)
    }

    fn check_flow(
        &self,
        operation: &'static str,
        definition: &CampaignDefinition,
    ) -> Result<(), StorageError> {
        let registered = &self.inner.actions;
        let refused = |problem: String| StorageError::new(StorageErrorKind::Refused, operation, problem);
        let steps = definition.follow_up.iter().filter_map(|step| match &step.action {
            FollowUpAction::Host { action } => Some((format!("follow_up \"{}\": action", step.name), action)),
            _ => None,
        });
        let on_reply =
            definition.message.on_reply.as_ref().map(|action| ("message.on_reply".to_owned(), action));
        if let Some((key, action)) =
            steps.chain(on_reply).find(|(_, action)| !registered.contains_key(*action))
        {
            return Err(refused(format!("{key}: no action \"{action}\" is registered with this engine")));
        }
        // What a conversation asks for may be a follow-up's to do.
        let followed =
            definition.follow_up.iter().flat_map(|step| &step.on).filter_map(|on| match &on.event {
                PlanEvent::Action(action) => Some(action),
                _ => None,
            });
        let known = registered.keys().chain(followed).cloned().collect();
        definition.check_flow(Some(known)).map_err(|error| {
            StorageError::new(StorageErrorKind::Refused, operation, format!("flow: {error}"))
        })
    }

    /// The latest version of a campaign, or `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: CampaignId) -> Result<Option<Campaign>, StorageError> {
        self.inner.storage.catalog.campaign(id, None).await
    }

    /// The latest version of each campaign of an organization, in the order of their ids, the first `limit` after
    /// `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        self.inner.storage.catalog.campaigns(org_id, after, limit).await
    }
}

/// Definitions that were not read by Rivvi's own functions may not make sense.
fn validated(
    operation: &'static str,
    definition: CampaignDefinition,
) -> Result<CampaignDefinition, StorageError> {
    definition
        .validated()
        .map_err(|error| StorageError::new(StorageErrorKind::Refused, operation, error.to_string()))
}

impl Inner {
    /// Tells the journal of every version of a campaign up to this one that it does not know. Versions are kept by the
    /// catalog and told afterwards, so a crash in between leaves one untold until the next version or import.
    pub(super) async fn journal_versions(
        &self,
        latest: &Campaign,
        by: Option<&str>,
    ) -> Result<(), StorageError> {
        let (aggregate, ledger) = (Aggregate::Campaign(latest.id), &self.storage.ledger);
        // Mostly the last is told, or the last but one.
        let last = u64::from(latest.version);
        let told_from = |after: u64| async move {
            ledger.journal(aggregate, after, 1).await.map(|told| !told.is_empty())
        };
        if told_from(last - 1).await? {
            return Ok(());
        }
        let mut first = latest.version;
        while first > 1 && !told_from(u64::from(first) - 2).await? {
            first -= 1;
        }
        let mut before = match first {
            1 => None,
            _ => self.storage.catalog.campaign(latest.id, Some(first - 1)).await?,
        };
        let at = self.clock.now();
        let mut entries = Vec::new();
        for version in first..=latest.version {
            let campaign = match version == latest.version {
                true => Some(latest.clone()),
                false => self.storage.catalog.campaign(latest.id, Some(version)).await?,
            };
            let Some(campaign) = campaign else { break };
            let prompt = &campaign.definition.prompt;
            let event = Event::CampaignRevised {
                version,
                by: by.filter(|_| version == latest.version).map(str::to_owned),
                prompt: prompt.as_ref().map(|prompt| prompt.digest()),
                prompt_changed: before.and_then(|before| before.definition.prompt) != *prompt,
            };
            let (org_id, sequence) = (campaign.org_id, u64::from(version));
            entries.push(JournalEntry { org_id, aggregate, sequence, at, event });
            before = Some(campaign);
        }
        ledger.add_entries(entries).await
    }
}
