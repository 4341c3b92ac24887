//! The words of a member about its ownership, and the doubts that the words of other gateways raise.

use std::cmp;

use super::Member;
use crate::cluster::message::StreamMessage;
use crate::stream::{Phase, ShareRole};

/// The effect of another gateway's word on an ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Doubt {
    /// None.
    None,
    /// The engine has to be looked at.
    Look,
    /// Another gateway owns the stream.
    Overtaken,
}

impl Member {
    /// Returns the phase for other gateways, if this one owns the stream.
    pub(in crate::cluster) fn owned_phase(&self) -> Option<Vec<u8>> {
        let phase = match self.role() {
            ShareRole::Own => self.stream.upgrade()?.progress().phase,
            ShareRole::Join | ShareRole::Follow => return None,
        };
        let is_own = !matches!(&phase, Phase::Retrying(Some(error)) if error.label() == "cluster");
        let place = self.place();
        let message = StreamMessage::PhaseIs { term: place.term(), epoch: place.epoch().to_owned(), phase };
        message.encode(&self.context.keys, &self.log).filter(|_| is_own)
    }

    /// Returns the phase for a gateway that takes this one for the owner by the claim with this term and epoch, and has the
    /// records up to this sequence. Looks at the engine if that is not so, or if records are missing there: it may have
    /// forgotten the release, a claim or the records.
    pub(in crate::cluster) fn answer_phase(&self, term: u64, epoch: &str, sequence: u64) -> Option<Vec<u8>> {
        let place = self.place();
        let is_claim = place.epoch() == epoch;
        let is_owner = self.role() == ShareRole::Own && (is_claim || place.term() > term);
        if !is_owner || sequence < place.sequence {
            self.demand_look();
        }
        // Records of this claim that this gateway has not written: without an answer the other one looks too.
        let is_ahead = is_claim && sequence > place.sequence;
        self.owned_phase().filter(|_| !is_ahead)
    }

    /// Returns the claim of the stream for other gateways, if this one owns it.
    pub(in crate::cluster) fn owned_claim(&self) -> Option<Vec<u8>> {
        let (owner, place) = (self.context.nodes.me().to_owned(), self.place());
        let life = place.head.as_ref().map_or(0, |head| head.life);
        let message = StreamMessage::Owns { owner, life, term: place.term() };
        message.encode(&self.context.keys, &self.log).filter(|_| self.role() == ShareRole::Own)
    }

    /// Returns what another gateway's word says about the ownership of this one.
    pub(in crate::cluster) fn doubt(&self, word: &[u8]) -> Doubt {
        let Some(word) = StreamMessage::decode(&self.context.keys, &self.log, word) else { return Doubt::None };
        let place = self.place.lock();
        let is_life = |life| place.head.as_ref().is_some_and(|head| head.life == life);
        match word {
            StreamMessage::Owns { owner, .. } if owner == self.context.nodes.me() => Doubt::None,
            StreamMessage::Owns { life, term, .. } if is_life(life) => match term.cmp(&place.term()) {
                cmp::Ordering::Less => Doubt::None,
                // The engine has forgotten one of the two claims.
                cmp::Ordering::Equal => Doubt::Look,
                cmp::Ordering::Greater => Doubt::Overtaken,
            },
            StreamMessage::Owns { .. } => Doubt::Look,
            StreamMessage::PhaseIs { term, epoch, .. } if term >= place.term() && epoch != place.epoch() => Doubt::Look,
            StreamMessage::PhaseIs { .. }
            | StreamMessage::WhoReads(_)
            | StreamMessage::Reads
            | StreamMessage::WhichPhase { .. }
            | StreamMessage::Stop(_)
            | StreamMessage::Stopped(_) => Doubt::None,
        }
    }
}
