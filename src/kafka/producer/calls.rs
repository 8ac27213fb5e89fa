//! The calls of a transactional producer, and what a transaction changes about `send()`.
//!
//! Kafka: `KafkaProducer.initTransactions`, `beginTransaction`, `sendOffsetsToTransaction`, `commitTransaction`,
//! `abortTransaction`, and the end of `doSend`. A record is in the accumulator before `send()` finds out that there is
//! no transaction: it throws, and the record stays there. It fails when the next transaction is aborted, and goes out
//! with the next transaction that sends to its partition: so it is in Kafka.

use crate::base::error::Exception;
use crate::base::ids::{MessageId, PartitionId};
use crate::base::time::Time;
use crate::event::{EventKind, TransactionCall};
use crate::kafka::effects::Effects;
use crate::kafka::producer::sender::Sender;
use crate::kafka::producer::transaction_manager::TransactionManager;
use crate::kafka::producer::{Blocked, Call, GroupOffsets, Producer};

impl Producer {
    /// The process begins: with its first event, or a call of its application at the same moment.
    pub(super) fn start(&mut self, fx: &Effects) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.sender = Sender::new(self.number, &self.config, fx.names.brokers);
        if self.config.transactional_id.is_empty() {
            return;
        }
        let id = fx.names.find_transactional_id(&self.config.transactional_id);
        let id = id.expect("the names of a run have every transactional id");
        let (timeout, backoff) = (self.config.transaction_timeout, self.config.retry_backoff);
        self.sender.transactions = Some(TransactionManager::of_transactions(id, timeout, backoff));
    }

    /// The application makes a call of a transactional producer; `offsets` are for `sendOffsetsToTransaction()`. It has
    /// returned once [`Producer::returned`] is what [`Producer::called`] is after this.
    ///
    /// # Panics
    /// When the offsets of `sendOffsetsToTransaction()` are missing.
    pub fn transact(
        &mut self,
        now: Time,
        call: TransactionCall,
        offsets: Option<GroupOffsets>,
        fx: &mut Effects,
    ) {
        if call == TransactionCall::SendOffsetsToTransaction {
            self.offsets.push_back(offsets.expect("there are offsets to send"));
        }
        self.called += 1;
        self.call(now, Call::Transaction(call), fx);
    }

    /// How many calls of [`Producer::transact`] were made.
    pub fn called(&self) -> u32 {
        self.called
    }

    /// What the last call of [`Producer::transact`] that returned threw.
    pub fn last_exception(&self) -> Option<Exception> {
        self.last_exception
    }

    /// How many of them have returned.
    pub fn returned(&self) -> u32 {
        self.returned
    }

    /// Runs a call as far as it gets. `None`: it blocks. Otherwise whether the sender should wake up.
    pub(super) fn try_transaction(
        &mut self,
        now: Time,
        call: TransactionCall,
        fx: &mut Effects,
    ) -> Option<bool> {
        if let Some((deadline, Blocked::Coordinator(result))) = self.blocked {
            let transactions = self.sender.transactions.as_mut();
            let transactions = transactions.expect("only a transactional producer blocks so");
            let outcome = match transactions.take(result) {
                Some(outcome) => outcome,
                None if now < deadline => return None,
                None => {
                    transactions.gave_up(result);
                    Err(Exception::Timeout)
                }
            };
            self.blocked = None;
            self.returns(call, outcome.err(), fx);
            return Some(false);
        }
        let offsets = match call {
            TransactionCall::SendOffsetsToTransaction => self.offsets.pop_front(),
            _ => None,
        };
        let begun = match &mut self.sender.transactions {
            Some(transactions) if !self.closing => transactions.call(call, offsets),
            _ => Err(Exception::IllegalState),
        };
        match begun {
            Ok(Some(result)) => {
                self.blocked = Some((now + self.config.max_block, Blocked::Coordinator(result)));
                None
            }
            other => {
                self.returns(call, other.err(), fx);
                Some(false)
            }
        }
    }

    fn returns(&mut self, call: TransactionCall, exception: Option<Exception>, fx: &mut Effects) {
        self.returned += 1;
        self.last_exception = exception;
        fx.event(EventKind::TransactionCalled { call, exception });
    }

    /// Adds the partition of a record that was appended to the transaction. True when the sender should wake up.
    pub(super) fn join_transaction(
        &mut self,
        message: MessageId,
        partition: PartitionId,
        fx: &mut Effects,
    ) -> bool {
        let Some(transactions) = &mut self.sender.transactions else { return false };
        match transactions.maybe_add_partition(partition) {
            Ok(new) => new,
            Err(exception) => {
                self.sender.accumulator.disown_last(partition);
                self.send_failed(message, exception, fx);
                true
            }
        }
    }

    /// `send()` fails or throws. An `ApiException` puts an open transaction into an error state.
    pub(super) fn send_failed(
        &mut self,
        message: MessageId,
        exception: Exception,
        fx: &mut Effects,
    ) {
        let mut exception = exception;
        if exception.is_api()
            && let Some(transactions) = &mut self.sender.transactions
            && let Err(invalid) = transactions.send_failed(exception)
        {
            exception = invalid;
        }
        self.failures += 1;
        fx.event(EventKind::SendFailed { message, exception });
    }
}
