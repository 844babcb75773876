//! Writing: transactions, and batches of writes that need none.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, TransactWriteItem, WriteRequest};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::error::{Answer, Failure, Verdict};
use crate::gateway::{Gateway, Pause, Refusal, throttled};
use crate::place::{Place, Table, VERSION, When, Write};
use crate::value::{ITEM_BYTES_MAX, Item, bytes};

/// Items one `BatchWriteItem` may hold.
const WRITE_MAX: usize = 25;

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transacted {
    /// It took effect.
    Done,
    /// It did not: whether each of its actions found its condition unmet.
    Conflict { unmet: Vec<bool> },
}

impl Gateway {
    /// Writes all of it or nothing. Throttling and lost answers are dealt with here; what others did to the same
    /// items is for the caller.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<Transacted, Failure> {
        if writes.is_empty() {
            return Ok(Transacted::Done);
        }
        for write in &writes {
            check_size(write)?;
        }
        let actions = writes.iter().map(|write| self.action(write)).collect::<Result<Vec<_>, _>>()?;
        let mut pause = Pause::new(self);
        loop {
            // The same token for repetitions of a request without an answer, a new one after a refusal.
            let token =
                uuid::Builder::from_random_bytes(SmallRng::from_os_rng().random()).into_uuid().to_string();
            let sent = self
                .repeated(|| {
                    self.client
                        .transact_write_items()
                        .set_transact_items(Some(actions.clone()))
                        .client_request_token(token.clone())
                        .set_return_consumed_capacity(self.measure())
                        .send()
                })
                .await;
            let reasons = match sent {
                Ok(answer) => {
                    self.wrote(answer.consumed_capacity.iter().flatten());
                    self.meter.iter().for_each(|meter| meter.transacted(kilobytes(&writes)));
                    return Ok(Transacted::Done);
                }
                Err(Refusal::Canceled(reasons)) => reasons,
                Err(Refusal::Failed(failure)) => return Err(failure),
            };
            let has = |wanted: &[&str]| reasons.iter().any(|code| wanted.contains(&code.as_str()));
            if has(&["ConditionalCheckFailed", "TransactionConflict"]) {
                let unmet = reasons.iter().map(|code| code == "ConditionalCheckFailed").collect();
                return Ok(Transacted::Conflict { unmet });
            }
            if !has(&["ThrottlingError", "ProvisionedThroughputExceeded"]) {
                let code = reasons.into_iter().find(|code| code != "None").unwrap_or_default();
                return Err(Failure::Service(Answer { verdict: Verdict::Invalid, code, message: None }));
            }
            pause.wait().await.map_err(|()| throttled())?;
        }
    }

    /// Puts items and deletes others, each by itself, in no order.
    pub(crate) async fn write_all(&self, writes: Vec<Write>) -> Result<(), Failure> {
        let mut left: Vec<(Table, WriteRequest)> = Vec::with_capacity(writes.len());
        for write in writes {
            check_size(&write)?;
            let table = write.place().table;
            let request = WriteRequest::builder();
            let request = match write {
                Write::Delete { place, .. } => {
                    let delete = DeleteRequest::builder().set_key(Some(place.key())).build();
                    request.delete_request(delete.map_err(incomplete)?)
                }
                Write::Put { item, .. } => {
                    let put = PutRequest::builder().set_item(Some(item)).build();
                    request.put_request(put.map_err(incomplete)?)
                }
                Write::Update { .. } | Write::Check { .. } => continue,
            };
            left.push((table, request.build()));
        }
        let mut pause = Pause::new(self);
        while !left.is_empty() {
            let mut requests: HashMap<String, Vec<WriteRequest>> = HashMap::new();
            for (table, request) in left.split_off(left.len().saturating_sub(WRITE_MAX)) {
                requests.entry(self.table(table)).or_default().push(request);
            }
            let answer = self
                .retried(|| {
                    self.client
                        .batch_write_item()
                        .set_request_items(Some(requests.clone()))
                        .set_return_consumed_capacity(self.measure())
                        .send()
                })
                .await?;
            self.wrote(answer.consumed_capacity.iter().flatten());
            let mut unprocessed = answer.unprocessed_items.unwrap_or_default();
            let mut again = Vec::new();
            for table in Table::ALL {
                let requests = unprocessed.remove(&self.table(table)).unwrap_or_default();
                again.extend(requests.into_iter().map(|request| (table, request)));
            }
            if !again.is_empty() {
                left.extend(again);
                pause.wait().await.map_err(|()| throttled())?;
            }
        }
        Ok(())
    }

    fn action(&self, write: &Write) -> Result<TransactWriteItem, Failure> {
        use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, Update};
        let table = self.table(write.place().table);
        let key = || Some(write.place().key());
        let action = TransactWriteItem::builder();
        let action = match write {
            Write::Put { place, item, when } => {
                let (condition, names, values) = condition(place, *when);
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item.clone()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                action.put(put.build().map_err(incomplete)?)
            }
            Write::Update { place, set, when } => {
                let (condition, names, values) = condition(place, *when);
                let (mut names, mut values) = (names.unwrap_or_default(), values.unwrap_or_default());
                let mut sets = Vec::with_capacity(set.len());
                for (index, (name, value)) in set.iter().enumerate() {
                    sets.push(format!("#n{index} = :n{index}"));
                    names.insert(format!("#n{index}"), (*name).to_owned());
                    values.insert(format!(":n{index}"), value.clone());
                }
                let update = Update::builder()
                    .table_name(table)
                    .set_key(key())
                    .update_expression(format!("SET {}", sets.join(", ")))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(Some(names))
                    .set_expression_attribute_values(Some(values));
                action.update(update.build().map_err(incomplete)?)
            }
            Write::Delete { place, when } => {
                let (condition, names, values) = condition(place, *when);
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(key())
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                action.delete(delete.build().map_err(incomplete)?)
            }
            Write::Check { place, when } => {
                let (condition, names, values) = condition(place, *when);
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(key())
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                action.condition_check(check.build().map_err(incomplete)?)
            }
        };
        Ok(action.build())
    }
}

fn check_size(write: &Write) -> Result<(), Failure> {
    let Write::Put { place, item, .. } = write else { return Ok(()) };
    let bytes = bytes(item);
    if bytes <= ITEM_BYTES_MAX {
        return Ok(());
    }
    // Of the key only the kind is told: what comes after it may be a number.
    let what =
        format!("an item `{}` of {}", place.pk.split('#').next().unwrap_or_default(), place.table.name());
    Err(Failure::TooLarge { what, bytes, bytes_max: ITEM_BYTES_MAX })
}

fn kilobytes(writes: &[Write]) -> usize {
    let of = |write: &Write| match write {
        Write::Put { item, .. } => bytes(item).div_ceil(1_024),
        _ => 1,
    };
    writes.iter().map(of).sum()
}

type Condition = (Option<String>, Option<HashMap<String, String>>, Option<Item>);

fn condition(place: &Place, when: When) -> Condition {
    let name = |name: &str, of: &str| Some(HashMap::from([(name.to_owned(), of.to_owned())]));
    match when {
        When::Always => (None, None, None),
        When::Absent => {
            (Some("attribute_not_exists(#key)".into()), name("#key", place.table.keys()[0]), None)
        }
        When::Version(version) => {
            let values = Item::from([(":version".to_owned(), crate::value::number(version))]);
            (Some("#version = :version".into()), name("#version", VERSION), Some(values))
        }
    }
}

/// A request without a part that it must have. The writes of this crate have them all.
fn incomplete(error: impl fmt::Display) -> Failure {
    let (verdict, message) = (Verdict::Invalid, Some(error.to_string()));
    Failure::Service(Answer { verdict, code: "incomplete request".to_owned(), message })
}
