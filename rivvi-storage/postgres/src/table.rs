//! Rows of the tables of contacts and calls, and the statements that write them.

mod call;
mod due;
mod reference;
mod status;

pub(crate) use call::{
    Attempt, CallRows, IntentRows, MovedRows, Version, end_calls, insert_live, update_ended, update_live,
    update_live_statuses,
};
#[cfg(test)]
pub(crate) use due::DELETE_DUE;
pub(crate) use due::{DueRows, delete_due, insert_due};
pub(crate) use reference::{ReferenceRows, put_references};
pub(crate) use status::{EndStatusRows, LeftRows, LiveStatusRows, StatusRows, leave_statuses, put_statuses};
