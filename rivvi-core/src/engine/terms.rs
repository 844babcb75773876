//! The terms of runs, kept at hand.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;

use super::Inner;
use crate::domain::{Run, RunId};
use crate::policy::RunTerms;
use crate::storage::StorageError;

/// The terms of runs, so that pure functions can have them inside a transaction.
#[derive(Debug, Default)]
pub(super) struct TermsCache {
    terms: RwLock<HashMap<RunId, Arc<RunTerms>>>,
}

impl TermsCache {
    pub(super) fn at_hand(&self, run_id: RunId) -> Option<Arc<RunTerms>> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).get(&run_id).cloned()
    }

    fn keep(&self, terms: &Arc<RunTerms>) {
        let mut kept = self.terms.write().unwrap_or_else(PoisonError::into_inner);
        // Runs that are over are asked for rarely: start afresh rather than grow for ever.
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, terms| terms.run.state.is_running());
        }
        kept.insert(terms.run.id, terms.clone());
    }
}

const KEPT_MAX: usize = 1_000;

impl Inner {
    /// The terms of a run that was just read, with its organization as it is now.
    pub(super) async fn terms_of(&self, run: Run) -> Result<Option<Arc<RunTerms>>, StorageError> {
        let Some(organization) = self.storage.catalog.organization(run.org_id).await? else {
            return Ok(None);
        };
        let known = self.terms.at_hand(run.id);
        if let Some(known) = known.filter(|known| *known.run == run && *known.organization == organization) {
            return Ok(Some(known));
        }
        let terms = Arc::new(RunTerms::new(Arc::new(run), Arc::new(organization)));
        self.terms.keep(&terms);
        Ok(Some(terms))
    }

    /// Reads the terms of a run that are not at hand. Returns whether there are any.
    pub(super) async fn fetch_terms(&self, run_id: RunId) -> Result<bool, StorageError> {
        let Some(run) = self.storage.ledger.run(run_id).await? else { return Ok(false) };
        Ok(self.terms_of(run).await?.is_some())
    }
}
