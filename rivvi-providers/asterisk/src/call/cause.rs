//! Causes of hanging up: Q.850 as Asterisk tells it.

use std::fmt;

use rivvi_core::domain::Disposition;

/// Why a channel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The Q.850 number.
    pub(crate) code: u16,
    /// The SIP status it came from, if any.
    pub(crate) sip: Option<u16>,
}

/// What was heard of the callee's side before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Heard {
    #[default]
    Nothing,
    /// That it ends the call.
    End,
    /// Ringing, or another progress.
    Ringing,
}

impl Cause {
    /// How a call ended that was not answered and that we did not end.
    ///
    /// Asterisk gives the cause 19 also when its own time is over and nobody ever answered the INVITE, and 18 when its
    /// transaction is given up; then no phone is known to have rung.
    pub(crate) fn disposition(self, heard: Heard) -> Disposition {
        match self.code {
            17 => Disposition::Busy,
            18 if heard == Heard::Ringing => Disposition::NoAnswer,
            19 | 20 if heard != Heard::Nothing => Disposition::NoAnswer,
            26 => Disposition::NoAnswer,
            // Chan_pjsip makes 21 of 401 and 407 as well: it is us whom the trunk rejects.
            21 if !matches!(self.sip, Some(401 | 407)) => Disposition::Rejected,
            1 | 22 | 28 => Disposition::InvalidNumber,
            // Ended from this side of the network, by whomever.
            16 => Disposition::Canceled,
            _ => Disposition::Failed,
        }
    }

    /// Asterisk's words, which are those of Q.850 where it has some.
    fn text(self) -> &'static str {
        match self.code {
            1 => "unallocated number",
            2 => "no route to transmit network",
            3 => "no route to destination",
            16 => "normal clearing",
            17 => "user busy",
            18 => "no user responding",
            19 => "no answer",
            20 => "subscriber absent",
            21 => "call rejected",
            22 => "number changed",
            23 => "redirected",
            26 => "answered elsewhere",
            27 => "destination out of order",
            28 => "invalid number format",
            31 => "normal, unspecified",
            34 => "circuit or channel congestion",
            38 => "network out of order",
            41 => "temporary failure",
            42 => "switching equipment congestion",
            44 => "requested channel not available",
            50 => "facility not subscribed",
            52 => "outgoing call barred",
            58 => "bearer capability not available",
            88 => "incompatible destination",
            102 => "recovery on timer expiry",
            127 => "interworking",
            _ => "see ITU-T Q.850",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())?;
        match self.sip {
            Some(sip) => write!(f, " (SIP {sip})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        use Disposition::{Busy, Canceled, Failed, InvalidNumber, NoAnswer, Rejected};
        let reached = [
            (0, None, Failed),
            (1, Some(404), InvalidNumber),
            (1, Some(604), InvalidNumber),
            (3, Some(420), Failed),
            (16, None, Canceled),
            (17, Some(486), Busy),
            (17, Some(600), Busy),
            (18, Some(408), NoAnswer),
            (19, Some(480), NoAnswer),
            (20, None, NoAnswer),
            (21, Some(603), Rejected),
            (21, Some(403), Rejected),
            (21, Some(401), Failed),
            (21, Some(407), Failed),
            (22, Some(410), InvalidNumber),
            (26, None, NoAnswer),
            (27, Some(502), Failed),
            (28, Some(484), InvalidNumber),
            (34, Some(503), Failed),
            (38, Some(500), Failed),
            (58, Some(488), Failed),
            (127, Some(405), Failed),
            (999, None, Failed),
        ];
        for (code, sip, expected) in reached {
            assert_eq!(Cause { code, sip }.disposition(Heard::Ringing), expected, "{code} {sip:?}");
        }
        for (code, heard, expected) in [
            (18, Heard::Nothing, Failed),
            (18, Heard::End, Failed),
            (19, Heard::Nothing, Failed),
            (19, Heard::End, NoAnswer),
            (20, Heard::Nothing, Failed),
            (20, Heard::End, NoAnswer),
        ] {
            assert_eq!(Cause { code, sip: Some(480) }.disposition(heard), expected, "{code} {heard:?}");
        }
        assert_eq!(Cause { code: 17, sip: Some(486) }.to_string(), "17 user busy (SIP 486)");
    }
}
