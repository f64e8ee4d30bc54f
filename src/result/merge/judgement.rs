//! The whole as it is judged.

use super::{Named, Whole};
use crate::result::figures::{Ending, Figures};
use crate::result::model::Verdict;
use crate::result::verdict::Judgement;

impl Whole<'_> {
    /// End of the whole: that of a part which did not end by its plan goes before all others.
    pub(super) fn ending(&self) -> Ending {
        // One that did not come to its end, of a divided plan, is a loss, and no interruption of the whole.
        let is_lost = |part: &&Named| part.result.partial && part.result.slice.is_some();
        let others = || self.parts.iter().filter(|part| !is_lost(part));
        let is_so = |ending| others().any(|part| Figures::of(&part.result).ending == ending);
        [Ending::Interrupted, Ending::Aborted].into_iter().find(|end| is_so(*end)).unwrap_or(Ending::Planned)
    }

    /// The whole is judged anew; a part that was spoiled spoils it.
    pub(super) fn judgement(&self, figures: &Figures<'_>, aborted: Option<&str>) -> Judgement {
        let invalid = self.parts.iter().filter(|part| part.result.verdict == Verdict::Invalid);
        let told = invalid.flat_map(|part| {
            let host = self.host(part);
            part.result.reasons.iter().map(move |reason| format!("on {host}: {reason}"))
        });
        let spoiled: Vec<String> = told.collect();
        figures.judge(aborted.iter().map(|why| format!("ended early: {why}")).collect(), &spoiled)
    }
}
