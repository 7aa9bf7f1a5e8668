//! The first word of an SQL statement.

/// Statements that are named; of others nothing is said.
const WORDS: [&str; 34] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET",
    "SHOW",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "COPY",
    "LISTEN",
    "NOTIFY",
    "UNLISTEN",
    "START_REPLICATION",
    "START",
    "EXPLAIN",
    "ANALYZE",
    "VACUUM",
    "LOCK",
    "WITH",
    "VALUES",
    "CALL",
    "DO",
    "EXECUTE",
    "PREPARE",
    "DEALLOCATE",
    "USE",
    "REPLACE",
    "DISCARD",
    "KILL",
];

/// The statement's first word, where it is one that is known.
pub(super) fn keyword(statement: &[u8]) -> Option<&'static str> {
    let statement = statement.trim_ascii_start();
    let len = statement.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
    let word = statement.get(..len)?;
    WORDS.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(word))
}
