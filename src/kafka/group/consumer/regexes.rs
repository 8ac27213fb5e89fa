//! Regular expressions that members leave to the coordinator (KIP-848, `SubscriptionPattern`): it looks for the topics
//! whose whole name fits, keeps what it found as records, and counts the topics as subscribed to.
//!
//! Kafka: `GroupMetadataManager.maybeUpdateRegularExpressions`, `handleRegularExpressionsResult`, `TopicRegexResolver`.
//! Nothing but a heartbeat makes it look: when a member brings an expression that nobody had, when topics were created
//! since, when the last look is `group.consumer.regex.refresh.interval.ms` old; never sooner than ten seconds after the
//! last look. All expressions of a group are looked at together, so that one change of the topics is one new epoch.
//!
//! Simplified: looking takes no time (Kafka has a thread for it, and the next heartbeat sees what it found); internal
//! topics never fit; a new coordinator looks no sooner than the old one would have.

use std::collections::BTreeSet;

use crate::base::error::ErrorCode;
use crate::base::group_records::{ConsumerGroupRecord, ResolvedRegex};
use crate::base::ids::{MemberId, RegexId, TopicId};
use crate::base::names::Names;
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::consumer::heartbeat::{Change, View};

/// `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`.
const LEAST_INTERVAL_MS: i64 = 10_000;

/// What a member's subscription by regular expression came to (`UpdateRegularExpressionStatus`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RegexUpdate {
    /// It is as it was.
    Unchanged,
    /// It is another, and what fits it has yet to be found.
    Changed,
    /// It is another, or none any more, and the topics are known.
    ChangedAndResolved,
}

/// How many topics exist.
fn version(names: &Names) -> u32 {
    let all = (0..names.topics.len() as u16).map(TopicId);
    all.filter(|topic| !names.existing(*topic).is_empty()).count() as u32
}

impl ConsumerGroup {
    fn subscribers(&self, regex: RegexId) -> usize {
        self.members.values().filter(|member| member.metadata.regex == Some(regex)).count()
    }

    fn subscribed_regexes(&self) -> BTreeSet<RegexId> {
        self.members.values().filter_map(|member| member.metadata.regex).collect()
    }

    /// The first half of `maybeUpdateRegularExpressions`: a member that had `before` has `after`.
    pub(super) fn update_regex(
        &self,
        view: &View<'_>,
        (before, after): (Option<RegexId>, Option<RegexId>),
        change: &mut Change,
    ) -> Result<RegexUpdate, ErrorCode> {
        if before == after {
            return Ok(RegexUpdate::Unchanged);
        }
        if let Some(last) = before.filter(|regex| self.subscribers(*regex) == 1) {
            change.write(ConsumerGroupRecord::Regex(last, None));
        }
        let Some(regex) = after else { return Ok(RegexUpdate::ChangedAndResolved) };
        if self.subscribers(regex) == 0 {
            view.names.regexes[regex.index()]
                .fits
                .as_ref()
                .ok_or(ErrorCode::InvalidRegularExpression)?;
        } else if self.resolved.contains_key(&regex) {
            return Ok(RegexUpdate::ChangedAndResolved);
        }
        Ok(RegexUpdate::Changed)
    }

    /// Its second half: is it time to look what fits? `self` is the group before the heartbeat that led to `after`.
    pub(in crate::kafka::group) fn looks_for_topics(&self, view: &View<'_>, after: &Self) -> bool {
        let (before, regexes) = (self.subscribed_regexes(), after.subscribed_regexes());
        let brings = regexes.iter().any(|regex| !before.contains(regex));
        if regexes.is_empty() {
            return false;
        }
        let Some(last) = self.resolved.values().next() else { return true };
        let age = view.now.timestamp() - last.at;
        age > LEAST_INTERVAL_MS
            && (brings
                || regexes.len() != self.resolved.len()
                || last.version < version(view.names)
                || age > view.config.regex_refresh_interval.as_millis() as i64)
    }

    /// `refreshRegularExpressions` and `handleRegularExpressionsResult`: what fits now, and another epoch when that is
    /// something else than before.
    pub(in crate::kafka::group) fn look_for_topics(
        &self,
        view: &View<'_>,
    ) -> Vec<ConsumerGroupRecord> {
        let mut change = Change::of(self);
        let mut other = false;
        for regex in self.subscribed_regexes() {
            let fits = view.names.fitting(regex).unwrap_or_default();
            other |= self.resolved.get(&regex).map_or(&[][..], |old| &old.topics) != fits;
            let (version, at) = (version(view.names), view.now.timestamp());
            let resolved = ResolvedRegex { topics: fits, version, at };
            change.write(ConsumerGroupRecord::Regex(regex, Some(resolved)));
        }
        let hash = change.group.hash_of_topics(view.names);
        if other || hash != self.metadata_hash {
            let epoch = self.epoch + 1;
            change.write(ConsumerGroupRecord::Epoch(Some((epoch, hash))));
        }
        change.records
    }

    /// `maybeDeleteResolvedRegularExpressions`: what only members had that are gone is forgotten.
    pub(super) fn regexes_without(&self, gone: &[MemberId]) -> Vec<ConsumerGroupRecord> {
        let others = self.members.iter().filter(|(id, _)| !gone.contains(id));
        let left: BTreeSet<RegexId> = others.filter_map(|(_, m)| m.metadata.regex).collect();
        let left_out = self.subscribed_regexes().into_iter().filter(|regex| !left.contains(regex));
        left_out.map(|regex| ConsumerGroupRecord::Regex(regex, None)).collect()
    }
}
