use super::Label;

table! {
    /// One row a finding; the report has the whole of it.
    "findings" => pub struct FindingRow {
        /// Code.
        pub code: &'static str,
        /// Code in words.
        pub slug: &'static str,
        /// info, warning, error or critical.
        pub severity: &'static str,
        /// How sure, 0 to 1.
        pub confidence: f64,
        /// One line.
        pub title: String,
        /// Whom it is about, as role=address, separated by spaces.
        pub subjects: String,
        /// First file with evidence.
        pub capture: Label,
        /// First frame of evidence.
        pub frame: Option<i64>,
        /// Time of the first packet of it, RFC 3339.
        pub first: String,
        /// Time of the last packet of it, RFC 3339.
        pub last: String,
        /// Wireshark display filter.
        pub filter: String,
        /// What happened and how that follows from the packets.
        pub explanation: String,
        /// What to do.
        pub fix: String,
    }
}
