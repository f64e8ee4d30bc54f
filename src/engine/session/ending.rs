//! Ends of a session: by its lifetime, by the end of the run, by the peer.

use super::context::{Context, Step, StepResult};
use super::websocket;
use super::{Ending, Phase, Session, Talk};
use crate::model::{Cause, Failure, Stage};
use crate::plan::Close;

impl Session {
    /// The run is over.
    pub(in crate::engine) fn stop(&mut self, context: &mut Context<'_>) -> StepResult {
        self.ending = Ending::AtOnce;
        match self.phase {
            Phase::Securing | Phase::Judged | Phase::Opening => Ok(Step::Continue),
            Phase::Open => {
                let waits = self.wind_down(context);
                // It had its time: an answer more does not complete it.
                if self.has_more_to_say(context.script, context.ordinal) {
                    self.finish(context)
                } else {
                    waits
                }
            }
            Phase::Closing => Ok(Step::Done),
        }
    }

    /// Says no more, and finishes when no answer is waited for.
    pub(super) fn wind_down(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.ending == Ending::No {
            self.ending = Ending::Winding;
        }
        let busy = match &mut self.talk {
            Talk::WebSocket(socket) => socket.stop_sending(context),
            Talk::Stream(stream) => stream.stop_sending(context),
            Talk::Http(http) => http.stop_sending(context),
            Talk::Steps(steps) => steps.stop(context.script.program.as_ref()),
            Talk::Opening(_) => false,
        };
        if busy { Ok(Step::Continue) } else { self.finish(context) }
    }

    /// Ends it as the plan says.
    pub(super) fn finish(&mut self, context: &mut Context<'_>) -> StepResult {
        let at_once = self.ending == Ending::AtOnce;
        let (goes_on, code) = match &self.talk {
            Talk::Steps(steps) => (steps.goes_on(), steps.close_code()),
            _ => (false, None),
        };
        if context.script.closes == Close::Peer && !at_once && !goes_on {
            if self.ending == Ending::No {
                // Everything is said; it is for the peer to close, as long as the lifetime lets it.
                return Ok(Step::Continue);
            }
            return Err(Failure::new(Stage::Close, Cause::TimedOut).into());
        }
        if !self.talk.is_websocket() || context.script.closes == Close::Rst {
            return Ok(Step::Done);
        }
        if self.phase != Phase::Closing {
            websocket::write_close(Some(code.unwrap_or(context.script.messages.close_code)), context);
        }
        if at_once {
            return Ok(Step::Done);
        }
        self.phase = Phase::Closing;
        self.limit = Some(context.now + context.script.handshake_timeout);
        Ok(Step::Continue)
    }

    /// The peer's close frame, which is answered by then, in the midst of the session.
    pub(super) fn peer_closes(&mut self, context: &mut Context<'_>) -> StepResult {
        if self.phase == Phase::Closing || self.ending == Ending::AtOnce {
            return Ok(Step::Done);
        }
        let Some(frames) = self.talk.frames() else { return Ok(Step::Done) };
        let expected = &context.script.messages.expect_close;
        let is_expected = match &expected[..] {
            [] => context.script.closes == Close::Peer && frames.was_closed_well(),
            codes => frames.code_of_peer().is_some_and(|code| codes.contains(&code)),
        };
        if !is_expected {
            let by_plan = context.script.closes == Close::Peer;
            return Err(frames.closed_by_peer(if by_plan { Stage::Close } else { Stage::Session }));
        }
        self.phase = Phase::Closing;
        self.limit = Some(context.now + context.script.handshake_timeout);
        Ok(Step::Continue)
    }
}
