//! Sessions that are steps of a conversation: how they begin, go on elsewhere, and leave what lasts to the end.

use super::context::{Context, Step, StepResult};
use super::steps::{Client, Conversation};
use super::websocket::Frames;
use super::{Phase, Script, Session, Talk};

impl Talk {
    /// True if it is a WebSocket that is open.
    pub(super) fn is_websocket(&self) -> bool {
        self.frames().is_some()
    }

    /// The frames of an open WebSocket.
    pub(super) fn frames(&self) -> Option<&Frames> {
        match self {
            Talk::WebSocket(socket) => Some(socket.frames()),
            Talk::Steps(steps) => steps.frames(),
            Talk::Opening(_) | Talk::Http(_) | Talk::Stream(_) => None,
        }
    }
}

impl Session {
    /// TLS, if any, is done: the steps begin. Each has its own time.
    pub(super) fn open_steps(&mut self, context: &mut Context<'_>) -> StepResult {
        let client = self.client.take().map_or_else(|| Client::new(context.ordinal), |client| *client);
        (self.phase, self.limit) = (Phase::Open, None);
        let mut conversation = Box::new(Conversation::new(client, context));
        let step = conversation.begin(context);
        self.talk = Talk::Steps(conversation);
        self.progress(step, context)
    }

    /// The run is over, and conversations come to their end: what lasts to the end is left.
    pub(in crate::engine) fn leave(&mut self, context: &mut Context<'_>) -> StepResult {
        let step = match (&mut self.talk, self.phase) {
            (Talk::Steps(steps), Phase::Open) => steps.leave(context),
            _ => return Ok(Step::Continue),
        };
        self.progress(step, context)
    }

    /// The client that goes on over another connection.
    pub(in crate::engine) fn leaves_client(&mut self) -> Option<Client> {
        match &mut self.talk {
            Talk::Steps(steps) => steps.leaves_client(),
            _ => None,
        }
    }

    /// Number of the step that it has come to.
    pub(in crate::engine) fn step(&self, script: &Script) -> Option<u16> {
        match (&self.talk, &script.program) {
            (Talk::Steps(steps), Some(program)) => steps.step(program),
            _ => None,
        }
    }
}
