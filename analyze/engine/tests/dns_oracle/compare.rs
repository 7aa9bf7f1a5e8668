//! Theirs and ours, side by side.

use crate::ours::{self, Transaction};
use crate::theirs::{self, Message};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

/// What was compared.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) files: u64,
    /// Answers that belong to the same question and took as long; questions that both count as often.
    pub(crate) equal: u64,
    /// Differences that have a reason: how many, and one of them.
    pub(crate) explained: BTreeMap<&'static str, (u64, String)>,
    pub(crate) unexplained: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.equal += other.equal;
        for (reason, (count, example)) in other.explained {
            self.explained.entry(reason).or_insert((0, example)).0 += count;
        }
        self.unexplained.extend(other.unexplained);
    }

    fn differ(&mut self, reason: Option<&'static str>, what: String) {
        match reason {
            Some(reason) => self.explained.entry(reason).or_insert((0, what)).0 += 1,
            None => self.unexplained.push(what),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} files with DNS, {} equal", self.files, self.equal)?;
        for (reason, (count, example)) in &self.explained {
            writeln!(f, "  {count} differ: {reason}, such as {example}")?;
        }
        self.unexplained.iter().take(40).try_for_each(|what| writeln!(f, "  differs without a reason: {what}"))
    }
}

/// Times are told in microseconds by us.
const ROUNDING_NS: u64 = 1000;

/// Compares a file.
pub(crate) fn file(file: &Path) -> Tally {
    let mut tally = Tally::default();
    let Some(messages) = theirs::messages(file).filter(|messages| !messages.is_empty()) else { return tally };
    let transactions = ours::transactions(file);
    tally.files = 1;
    let name = format!("{}/{}", parent(file), file.file_name().unwrap_or_default().to_string_lossy());
    let by_frame: HashMap<u64, &Message> = messages.iter().map(|message| (message.frame, message)).collect();
    for ours in &transactions {
        answer(ours, &by_frame, &name, &mut tally);
    }
    counts(&messages, &transactions, &name, &mut tally);
    tally
}

fn parent(file: &Path) -> String {
    file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the answer of a transaction is tshark's answer to the same question, and took as long.
fn answer(ours: &Transaction, by_frame: &HashMap<u64, &Message>, file: &str, tally: &mut Tally) {
    let Some(frame) = ours.answer_frame else { return };
    let what = |why: &str| format!("{file} frame {frame}: {why}: {ours:?}");
    let Some(theirs) = by_frame.get(&frame) else {
        let elsewhere = by_frame.values().any(|message| message.id == ours.id && message.name == ours.name);
        let reason = match () {
            () if ours.tcp => Some(TCP),
            () if ours.name_cut => Some(CUT),
            () if elsewhere => Some("in fragments: tshark tells it of another of them"),
            () => None,
        };
        return tally.differ(reason, what("no DNS to tshark"));
    };
    let same_name = ours.name_cut || theirs.name.is_empty() || theirs.name == ours.name || !is_plain(&theirs.name);
    if theirs.is_special {
        return tally.differ(Some("several messages, or none of its own"), what("special"));
    }
    if theirs.id != ours.id || !same_name || !theirs.is_response {
        return tally.differ(None, what(&format!("another message, {theirs:?}")));
    }
    let Some((question, took_ns)) = theirs.answers else {
        let reason = match () {
            () if ours.legs > 1 => Some(SIGHTINGS),
            () if ours.name_cut || ours.answer_cut => Some(CUT),
            () if theirs.is_again => Some("tshark takes it for an answer that came again"),
            () if ours.attempts == 0 => Some("the question was not captured"),
            () => None,
        };
        if reason == Some("the question was not captured") {
            tally.equal += 1;
            return;
        }
        return tally.differ(reason, what("an answer to nothing for tshark"));
    };
    let as_long = ours.took_ns.iter().any(|ns| ns.abs_diff(took_ns) <= ROUNDING_NS);
    let same = as_long && (ours.attempts > 1 || ours.legs > 1 || question == ours.first_frame);
    if same {
        tally.equal += 1;
        return;
    }
    let reason = match () {
        () if ours.legs > 1 => Some(SIGHTINGS),
        () if ours.tcp => Some(TCP),
        () if ours.name_cut => Some(CUT),
        () if ours.attempts > 1 => Some("tshark takes the time from another attempt"),
        () => None,
    };
    tally.differ(reason, what(&format!("question {question}, {took_ns} ns")));
}

const SIGHTINGS: &str = "seen at several places: tshark counts from one to the other";
const TCP: &str = "TCP: tshark puts segments together elsewhere";
const CUT: &str = "cut: what is left of a question does not tell it from others";

/// Whether a name has no bytes that each of us writes in a way of its own.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Questions and answers of each identification and name.
fn counts(messages: &[Message], transactions: &[Transaction], file: &str, tally: &mut Tally) {
    type Key = (i64, String);
    let mut theirs: BTreeMap<Key, [i64; 2]> = BTreeMap::new();
    let mut special: BTreeMap<Key, bool> = BTreeMap::new();
    for message in messages {
        let key = (message.id, message.name.clone());
        theirs.entry(key.clone()).or_default()[usize::from(message.is_response)] += 1;
        *special.entry(key).or_default() |= message.is_special;
    }
    let mut ours: BTreeMap<Key, ([i64; 2], Vec<&Transaction>)> = BTreeMap::new();
    for transaction in transactions {
        let of_key = ours.entry((transaction.id, transaction.name.clone())).or_default();
        of_key.0[0] += transaction.attempts;
        of_key.0[1] += transaction.answers;
        of_key.1.push(transaction);
    }
    let names: Vec<Key> = theirs.keys().chain(ours.keys()).cloned().collect();
    for key in names.into_iter().collect::<std::collections::BTreeSet<_>>() {
        let seen = theirs.get(&key).copied().unwrap_or_default();
        let (counted, of_key) = ours.get(&key).cloned().unwrap_or_default();
        if seen == counted {
            tally.equal += 1;
            continue;
        }
        let fewer = counted[0] <= seen[0] && counted[1] <= seen[1];
        let reason = match () {
            () if !is_plain(&key.1) => Some("names that are written in other ways"),
            () if key.1.is_empty() => Some(CUT),
            () if of_key.iter().any(|ours| ours.name_cut)
                || of_key.is_empty() && is_cut_elsewhere(transactions, &key) =>
            {
                Some(CUT)
            }
            () if of_key.iter().any(|ours| ours.legs > 1) && fewer => Some("several sightings are one packet"),
            () if of_key.iter().any(|ours| ours.tcp) => Some(TCP),
            () if special.get(&key) == Some(&true) => Some("several messages, or none of its own"),
            () => None,
        };
        tally.differ(reason, format!("{file}: {key:?}: tshark {seen:?}, we {counted:?}: {of_key:?}"));
    }
}

/// Whether we have the identification with a name that was cut.
fn is_cut_elsewhere(transactions: &[Transaction], (id, _): &(i64, String)) -> bool {
    transactions.iter().any(|ours| ours.id == *id && ours.name_cut)
}
