//! From bytes to a [`Scenario`], or to every error in them.
//!
//! A file is data from a stranger: it is read up to a limit, nested only so deep, its numbers are checked before
//! anything is multiplied or allocated, and nothing of it is printed unescaped. Three rounds: taking the text apart
//! (`pieces`), reading every part (here), and checking what the parts say about each other (`validate`).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use serde::Deserialize;

use crate::base::librdkafka::ClientFamily;
use crate::scenario::diagnostics::{Diagnostics, Problem, did_you_mean};
use crate::scenario::expect::{Expectation, Tally};
use crate::scenario::pieces::{Fault, Piece};
use crate::scenario::schema::{
    Cluster, Consumer, Group, LoopStep, Members, Narration, Network, Override, Producer, Scenario,
    Settings, StartAt, Topic,
};
use crate::scenario::step::Step;
use crate::scenario::validate::validate;
use crate::scenario::value::{Label, Ordered, Setting, Texts, is_unprintable};

/// What a file may ask for at most. `--limit` raises each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Size of a file.
    pub bytes: u64,
    /// Brokers. Not above 64.
    pub brokers: u64,
    /// Partitions of all topics. Not above 16,384.
    pub partitions: u64,
    /// Consumers, alone and in groups.
    pub consumers: u64,
    /// Messages that all `Send` steps declare.
    pub messages: u64,
    /// Events of a run.
    pub events: u64,
    /// Virtual time of a run, in seconds.
    pub seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            brokers: 64,
            partitions: 1_024,
            consumers: 1_024,
            messages: 1_000_000,
            events: 10_000_000,
            seconds: 365 * 86_400,
        }
    }
}

/// Reads at most one byte more than `limits` allow, so that [`load`] can tell; works on a pipe and on a device that
/// never ends.
pub fn read_bounded(source: impl Read, limits: &Limits) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads and checks a scenario. `source_name` is what errors call the file.
pub fn load(source_name: &str, bytes: &[u8], limits: &Limits) -> Result<Scenario, Diagnostics> {
    if bytes.len() as u64 > limits.bytes {
        let message = format!("the file is larger than {} bytes", limits.bytes);
        return Err(Diagnostics::unreadable(source_name, &message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let problem = Problem {
                at: valid.len()..valid.len(),
                path: String::new(),
                message: "this is not text in UTF-8: a binary file?".to_owned(),
                help: None,
            };
            return Err(Diagnostics::new(source_name, &valid, vec![problem]));
        }
    };
    let mut loader = Loader::default();
    let scenario = loader.scenario(Piece { text, start: 0 });
    let mut problems = loader.problems;
    if let Some(scenario) = scenario {
        problems.extend(validate(&scenario, &loader.places, limits));
        if problems.is_empty() {
            return Ok(scenario);
        }
    }
    Err(Diagnostics::new(source_name, text, problems))
}

/// Where the parts of a scenario stand in the file, by path: `topics.orders`, `script[3]`, `expect.acks=1[0]`.
#[derive(Default)]
pub(super) struct Places<'a> {
    parts: BTreeMap<String, Piece<'a>>,
    /// True when some clients could not be read, so that a name that is not known may be one of theirs.
    pub(super) clients_unread: bool,
}

impl Places<'_> {
    /// The place of `word` in the part at `path`, or of the whole part.
    pub(super) fn find(&self, path: &str, word: &str) -> Range<usize> {
        self.parts.get(path).map_or(0..0, |piece| piece.find(word))
    }

    /// The place of the part at `path`.
    pub(super) fn at(&self, path: &str) -> Range<usize> {
        self.parts.get(path).map_or(0..0, Piece::range)
    }
}

#[derive(Default)]
struct Loader<'a> {
    problems: Vec<Problem>,
    places: Places<'a>,
}

/// Named fields of a struct that were found in the file.
type Fields<'a> = BTreeMap<&'a str, Piece<'a>>;

const SCENARIO: [&str; 17] = [
    "title",
    "level",
    "takeaway",
    "needs",
    "next",
    "seed",
    "cluster",
    "topics",
    "producers",
    "consumers",
    "groups",
    "group_configs",
    "network",
    "script",
    "variants",
    "expect",
    "narration",
];

/// An expectation that always holds.
const ANY: Expectation = Expectation::Sent(Tally::Between(0, u64::MAX));

impl<'a> Loader<'a> {
    fn problem(
        &mut self,
        at: Range<usize>,
        path: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.problems.push(Problem { at, path: path.to_owned(), message: message.into(), help });
    }

    /// The value of a faulty part is its default; the fault is kept.
    fn keep<T>(&mut self, path: &str, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.problem(fault.at, path, fault.message, fault.help)).ok()
    }

    fn read<T: Deserialize<'a>>(&mut self, path: &str, piece: Piece<'a>) -> Option<T> {
        self.keep(path, piece.read())
    }

    /// The fields of a struct; unknown and repeated ones are reported.
    fn fields(
        &mut self,
        path: &str,
        piece: Piece<'a>,
        name: &'static str,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        let list = self.keep(path, piece.fields(name))?;
        let mut fields = Fields::new();
        for (key, value) in list {
            if !known.contains(&key.text) {
                let message = format!("there is no field `{}` here", key.text);
                self.problem(key.range(), path, message, did_you_mean(key.text, known));
            } else if fields.insert(key.text, value).is_some() {
                let message = format!("the field `{}` is given twice", key.text);
                self.problem(key.range(), path, message, None);
            }
        }
        Some(fields)
    }

    /// The entries of a map whose keys are labels, in order; bad and repeated keys are reported.
    fn entries(&mut self, path: &str, piece: Piece<'a>) -> Vec<(String, Piece<'a>)> {
        let mut entries: Vec<(String, Piece<'a>)> = Vec::new();
        for (key, value) in self.keep(path, piece.entries()).unwrap_or_default() {
            let Some(name) = self.read::<String>(path, key) else { continue };
            if let Err(message) = Label::new(&name) {
                self.problem(key.range(), path, message, None);
            } else if entries.iter().any(|(known, _)| *known == name) {
                self.problem(key.range(), path, format!("`{name}` is given twice"), None);
            } else {
                self.places.parts.insert(format!("{path}.{name}"), value);
                entries.push((name, value));
            }
        }
        entries
    }

    /// A list whose every element is read for itself; `filler` takes the place of those that cannot be read, so that
    /// the others keep their numbers.
    fn list<T: Deserialize<'a> + Clone>(
        &mut self,
        path: &str,
        piece: Piece<'a>,
        filler: &T,
    ) -> Vec<T> {
        let mut list = Vec::new();
        for (i, item) in self.keep(path, piece.items()).unwrap_or_default().into_iter().enumerate()
        {
            let path = format!("{path}[{i}]");
            self.places.parts.insert(path.clone(), item);
            list.push(self.read(&path, item).unwrap_or_else(|| filler.clone()));
        }
        list
    }

    fn scenario(&mut self, piece: Piece<'a>) -> Option<Scenario> {
        let fields = self.fields("", piece, "Scenario", &SCENARIO)?;
        for field in ["title", "topics", "script"] {
            if !fields.contains_key(field) {
                let message = format!("the field `{field}` is missing");
                let start = piece.first_word();
                self.problem(start..start + "Scenario".len(), "", message, None);
            }
        }
        let get = |name: &str| fields.get(name).copied();
        Some(Scenario {
            title: self.texts("title", get("title")),
            level: get("level").and_then(|p| self.read("level", p)).unwrap_or(0),
            takeaway: self.texts("takeaway", get("takeaway")),
            needs: get("needs").and_then(|p| self.read("needs", p)).unwrap_or_default(),
            next: get("next").and_then(|p| self.read("next", p)),
            seed: get("seed").and_then(|p| self.read("seed", p)).unwrap_or(1),
            cluster: get("cluster").map(|p| self.cluster(p)).unwrap_or_default(),
            topics: self.table("topics", get("topics"), Self::topic),
            producers: self.table("producers", get("producers"), Self::producer),
            consumers: self.table("consumers", get("consumers"), Self::consumer),
            groups: self.table("groups", get("groups"), Self::group),
            group_configs: self.table(
                "group_configs",
                get("group_configs"),
                |loader, path, piece| {
                    Some(loader.settings(path, "config", &Fields::from([("config", piece)])))
                },
            ),
            network: get("network").and_then(|p| self.network(p)).unwrap_or_default(),
            script: get("script").map(|p| self.list("script", p, &Step::Heal)).unwrap_or_default(),
            variants: self.table("variants", get("variants"), |loader, path, piece| {
                Some(loader.variant(path, piece))
            }),
            expect: self.table("expect", get("expect"), |loader, path, piece| {
                Some(loader.list(path, piece, &ANY))
            }),
            narration: get("narration")
                .and_then(|p| {
                    self.places.parts.insert("narration".to_owned(), p);
                    self.read::<Vec<Narration>>("narration", p)
                })
                .unwrap_or_default(),
        })
    }

    fn table<T>(
        &mut self,
        path: &str,
        piece: Option<Piece<'a>>,
        read: impl Fn(&mut Self, &str, Piece<'a>) -> Option<T>,
    ) -> Ordered<T> {
        let Some(piece) = piece else { return Ordered::default() };
        let entries = self.entries(path, piece);
        let mut table = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let faults = self.problems.len();
            table.extend(read(self, &format!("{path}.{name}"), value).map(|value| (name, value)));
            self.places.clients_unread |= self.problems.len() > faults;
        }
        Ordered(table)
    }

    fn texts(&mut self, path: &str, piece: Option<Piece<'a>>) -> Texts {
        let Some(piece) = piece else { return Texts::new() };
        let texts: Texts = self.read(path, piece).unwrap_or_default();
        self.places.parts.insert(path.to_owned(), piece);
        texts
    }

    fn cluster(&mut self, piece: Piece<'a>) -> Cluster {
        let mut cluster = Cluster::default();
        self.places.parts.insert("cluster".to_owned(), piece);
        let known = ["brokers", "controllers", "config", "racks", "features", "era"];
        let Some(fields) = self.fields("cluster", piece, "Cluster", &known) else { return cluster };
        if let Some(n) =
            fields.get("brokers").and_then(|p| self.number("cluster.brokers", *p, 1..=64))
        {
            cluster.brokers = n as u8;
        }
        if let Some(n) =
            fields.get("controllers").and_then(|p| self.number("cluster.controllers", *p, 1..=5))
        {
            cluster.controllers = n as u8;
        }
        cluster.config = self.settings("cluster", "config", &fields);
        cluster.features = self.settings("cluster", "features", &fields);
        if let Some(racks) = fields.get("racks") {
            self.places.parts.insert("cluster.racks".to_owned(), *racks);
            for (name, brokers) in self.entries("cluster.racks", *racks) {
                let path = format!("cluster.racks.{name}");
                cluster.racks.0.extend(self.read(&path, brokers).map(|brokers| (name, brokers)));
            }
        }
        if let Some(piece) = fields.get("era") {
            cluster.era = self.read("cluster.era", *piece).unwrap_or_default();
        }
        cluster
    }

    fn number(
        &mut self,
        path: &str,
        piece: Piece<'a>,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let n = self.read::<u64>(path, piece)?;
        if range.contains(&n) {
            return Some(n);
        }
        let message = format!("{n} is outside {} to {}", range.start(), range.end());
        self.problem(piece.range(), path, message, None);
        None
    }

    /// The field `name` of a struct, `config` but for the feature levels of a cluster.
    fn settings(&mut self, path: &str, name: &str, fields: &Fields<'a>) -> Settings {
        let Some(piece) = fields.get(name) else { return Settings::default() };
        let path = format!("{path}.{name}");
        self.places.parts.insert(path.clone(), *piece);
        let mut settings = Vec::new();
        for (name, value) in self.entries(&path, *piece) {
            if let Some(value) = self.read::<Setting>(&format!("{path}.{name}"), value) {
                settings.push((name, value));
            }
        }
        Ordered(settings)
    }

    fn topic(&mut self, path: &str, piece: Piece<'a>) -> Option<Topic> {
        let known = ["replicas", "partitions", "replication", "config", "created"];
        let fields = self.fields(path, piece, "Topic", &known)?;
        let replicas = fields.get("replicas").and_then(|p| self.read(path, *p));
        let partitions =
            fields.get("partitions").and_then(|p| self.number(path, *p, 1..=1_000_000));
        let replication = fields.get("replication").and_then(|p| self.number(path, *p, 1..=15));
        if let (Some(p), true) = (
            fields.get("replicas"),
            fields.contains_key("partitions") || fields.contains_key("replication"),
        ) {
            let message = "a topic has either `replicas` or `partitions` and `replication`";
            self.problem(p.range(), path, message, None);
        }
        Some(Topic {
            replicas: replicas.unwrap_or_default(),
            partitions: partitions.map(|n| n as u32),
            replication: replication.map(|n| n as u8),
            config: self.settings(path, "config", &fields),
            created: fields.get("created").and_then(|p| self.read(path, *p)).unwrap_or_default(),
        })
    }

    fn producer(&mut self, path: &str, piece: Piece<'a>) -> Option<Producer> {
        let fields = self.fields(path, piece, "Producer", &["client", "config", "start"])?;
        let start = fields.get("start").and_then(|p| self.read::<StartAt>(path, *p));
        if let (Some(StartAt::At(_)), Some(piece)) = (start, fields.get("start")) {
            let message = "a producer starts `AtOnce` or `ByScript`";
            self.problem(piece.range(), path, message, None);
        }
        let config = self.settings(path, "config", &fields);
        let client = self.client(path, &fields);
        Some(Producer { client, config, start: start.unwrap_or_default() })
    }

    /// The field `client`.
    fn client(&mut self, path: &str, fields: &Fields<'a>) -> String {
        let Some(piece) = fields.get("client") else { return String::new() };
        let Some(name) = self.read::<String>(path, *piece) else { return String::new() };
        if ClientFamily::parse(&name).is_none() {
            let known = ClientFamily::NAMES;
            let message = format!("client {name:?}: it is one of {}", known.join(", "));
            self.problem(piece.range(), path, message, did_you_mean(&name, &known));
        }
        name
    }

    fn consumer(&mut self, path: &str, piece: Piece<'a>) -> Option<Consumer> {
        let known = [
            "group",
            "client",
            "share",
            "topics",
            "pattern",
            "regex",
            "partitions",
            "config",
            "loop",
            "on_revoked",
            "producer",
            "start",
        ];
        let fields = self.fields(path, piece, "Consumer", &known)?;
        let get = |name: &str| fields.get(name).copied();
        Some(Consumer {
            group: get("group").and_then(|p| self.read(path, p)),
            client: self.client(path, &fields),
            share: get("share").and_then(|p| self.read(path, p)).unwrap_or(false),
            topics: get("topics").and_then(|p| self.read(path, p)).unwrap_or_default(),
            pattern: get("pattern").and_then(|p| self.read(path, p)),
            regex: get("regex").and_then(|p| self.read(path, p)),
            partitions: get("partitions").and_then(|p| self.read(path, p)).unwrap_or_default(),
            config: self.settings(path, "config", &fields),
            steps: get("loop")
                .map(|p| self.list(&format!("{path}.loop"), p, &LoopStep::Poll))
                .unwrap_or_default(),
            on_revoked: get("on_revoked").and_then(|p| self.read(path, p)),
            producer: get("producer").and_then(|p| self.read(path, p)),
            start: get("start").and_then(|p| self.read(path, p)).unwrap_or_default(),
        })
    }

    fn group(&mut self, path: &str, piece: Piece<'a>) -> Option<Group> {
        let known = [
            "members",
            "client",
            "share",
            "topics",
            "pattern",
            "regex",
            "config",
            "loop",
            "on_revoked",
            "producer",
            "start",
        ];
        let fields = self.fields(path, piece, "Group", &known)?;
        let get = |name: &str| fields.get(name).copied();
        for field in ["members", "topics"] {
            let otherwise = ["pattern", "regex"].iter().any(|other| fields.contains_key(*other));
            if !(fields.contains_key(field) || field == "topics" && otherwise) {
                let message = format!("the field `{field}` is missing");
                self.problem(piece.start..piece.start + 1, path, message, None);
            }
        }
        Some(Group {
            members: get("members")
                .and_then(|p| self.members(path, p))
                .unwrap_or(Members::Count(0)),
            client: self.client(path, &fields),
            share: get("share").and_then(|p| self.read(path, p)).unwrap_or(false),
            topics: get("topics").and_then(|p| self.read(path, p)).unwrap_or_default(),
            pattern: get("pattern").and_then(|p| self.read(path, p)),
            regex: get("regex").and_then(|p| self.read(path, p)),
            config: self.settings(path, "config", &fields),
            steps: get("loop")
                .map(|p| self.list(&format!("{path}.loop"), p, &LoopStep::Poll))
                .unwrap_or_default(),
            on_revoked: get("on_revoked").and_then(|p| self.read(path, p)),
            producer: get("producer").and_then(|p| self.read(path, p)),
            start: get("start").and_then(|p| self.read::<StartAt>(path, p)).unwrap_or_default(),
        })
    }

    fn members(&mut self, path: &str, piece: Piece<'a>) -> Option<Members> {
        if piece.text.starts_with('[') {
            return Some(Members::Names(self.read(path, piece)?));
        }
        Some(Members::Count(self.number(path, piece, 1..=u64::from(u32::MAX))? as u32))
    }

    fn network(&mut self, piece: Piece<'a>) -> Option<Network> {
        let fields = self.fields("network", piece, "Network", &["latency", "jitter", "loss"])?;
        let mut network = Network::default();
        if let Some(span) = fields.get("latency").and_then(|p| self.read("network.latency", *p)) {
            network.latency = span;
        }
        if let Some(span) = fields.get("jitter").and_then(|p| self.read("network.jitter", *p)) {
            network.jitter = span;
        }
        if let Some(chance) = fields.get("loss").and_then(|p| self.read("network.loss", *p)) {
            network.loss = chance;
        }
        if network.jitter > network.latency {
            let message =
                "the jitter is larger than the latency: a message would arrive before it is sent";
            self.problem(piece.range(), "network", message, None);
        }
        Some(network)
    }

    fn variant(&mut self, path: &str, piece: Piece<'a>) -> Ordered<Override> {
        let mut overrides = Vec::new();
        for (key, value) in self.entries(path, piece) {
            let place = format!("{path}.{key}");
            let kind = key.split_once('.').map_or("", |(kind, _)| kind);
            let last = key.rsplit_once('.').map_or("", |(_, last)| last);
            let set = match (kind, last) {
                ("script", _) => Some(Override::Steps(self.list(&place, value, &Step::Heal))),
                ("consumers" | "groups", "loop") => {
                    Some(Override::Loop(self.list(&place, value, &LoopStep::Poll)))
                }
                ("consumers" | "groups", "on_revoked") => {
                    self.read(&place, value).map(Override::OnRevoked)
                }
                ("consumers" | "groups", "share") => self.read(&place, value).map(Override::Share),
                ("groups", "members") => self.members(&place, value).map(Override::Members),
                ("topics", "partitions" | "replication") => {
                    self.number(&place, value, 1..=1_000_000).map(|n| Override::Count(n as u32))
                }
                ("cluster", "controllers") => {
                    self.number(&place, value, 1..=5).map(|n| Override::Count(n as u32))
                }
                _ => self.read(&place, value).map(Override::Setting),
            };
            overrides.extend(set.map(|set| (key, set)));
        }
        Ordered(overrides)
    }
}

/// True when every text is printable, line breaks aside.
pub(super) fn is_clean(texts: &Texts) -> bool {
    texts.values().all(|text| !text.chars().any(|c| c != '\n' && is_unprintable(c)))
}
