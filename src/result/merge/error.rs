//! Reasons for which results can't be merged, each with what to do.

/// Reason for which results can't be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// One result, or none.
    #[error("there is nothing to merge: give two results or more")]
    TooFew,
    /// One run twice.
    #[error("'{first}' and '{second}' are the same run: its attempts would be counted twice")]
    Twice {
        /// The first of them.
        first: String,
        /// The other.
        second: String,
    },
    /// They did different things.
    #[error(
        "'{first}' and '{second}' differ in {what}: their latencies are not those of one load; merge results of \
         one scenario, and use `connstorm compare` for different ones"
    )]
    Different {
        /// The first of them.
        first: String,
        /// The other.
        second: String,
        /// In what they differ.
        what: &'static str,
    },
    /// A part of a plan, and a whole one.
    #[error(
        "'{part}' is a part of a run, and '{whole}' is a whole one: merge the parts of one run, or whole runs"
    )]
    PartAndWhole {
        /// The part.
        part: String,
        /// The whole run.
        whole: String,
    },
    /// A part of a plan is there twice.
    #[error("'{first}' and '{second}' both are part {part} of the plan: its attempts would be counted twice")]
    SamePart {
        /// The first of them.
        first: String,
        /// The other.
        second: String,
        /// Name of the part.
        part: String,
    },
    /// A part of a plan is not there.
    #[error(
        "part {part} of the plan is missing: give its result too, or --lost to count its arrivals as \
         skipped.agent_lost"
    )]
    PartMissing {
        /// Name of the part.
        part: String,
    },
    /// They did not run at the same time.
    #[error(
        "'{first}' had ended before '{second}' began: together they were no load; use `connstorm compare` for \
         runs one after the other"
    )]
    Apart {
        /// That which ended.
        first: String,
        /// That which began later.
        second: String,
    },
    /// Nobody knows when it began.
    #[error(
        "'{0}' does not say when it began, so that its windows can't be aligned; it was written by an older version"
    )]
    NoClock(String),
    /// The numbers of a result contradict each other.
    #[error("'{name}' does not add up: {what}; it was changed, or it was cut off")]
    Unbalanced {
        /// The result.
        name: String,
        /// Number that is not the sum of its parts.
        what: String,
    },
    /// Together they are more than any run counts.
    #[error("the sum of the results is more than a result can hold: {0}")]
    TooLarge(String),
    /// A histogram is none.
    #[error("the histogram of {what} in '{of}' can't be read: it was damaged")]
    Histogram {
        /// The result.
        of: String,
        /// Name of the latency.
        what: String,
    },
}
