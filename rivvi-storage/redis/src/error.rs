//! What can go wrong.

use fred::error::{Error, ErrorKind};

/// Why Redis could not be used. Carries no credentials and no personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The URL or an option makes no sense.
    #[error("Redis cannot be used like this: {0}")]
    Config(&'static str),
    /// Redis cannot be reached, did not answer in time, or refused.
    #[error("Redis at {server} {problem}")]
    Away {
        /// Where it should be, without credentials.
        server: String,
        /// What went wrong and what to look at.
        problem: String,
    },
    /// Redis answered something that this version of Rivvi does not understand.
    #[error("Redis answered no {0}: is the prefix shared with another program or version?")]
    Unreadable(&'static str),
}

/// What went wrong, in words that repeat neither credentials nor arguments of the command.
///
/// The text of a refusal may quote user names, keys and values, so only its code is repeated
/// (<https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>).
pub(crate) fn problem(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Timeout => "did not answer in time".into(),
        ErrorKind::IO | ErrorKind::Canceled => "cannot be reached; is it running at this address?".into(),
        ErrorKind::Auth => "refuses the credentials; check user and password of the URL".into(),
        ErrorKind::Sentinel => "is not known to its sentinels; check `sentinelServiceName`".into(),
        ErrorKind::Backpressure => "has too many commands to answer".into(),
        kind => match code(error.details()) {
            Some(code) => format!("refused with {code}"),
            None => format!("failed ({})", kind.to_str()),
        },
    }
}

fn code(details: &str) -> Option<&str> {
    let word = details.split([' ', ':']).next()?;
    (word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_without_what_they_quote() {
        let refused =
            Error::new(ErrorKind::Unknown, "NOPERM User alice has no permissions to access '{k}:s3cret'");
        assert_eq!(problem(&refused), "refused with NOPERM");
        let odd = Error::new(ErrorKind::Unknown, "s3cret went wrong");
        assert_eq!(problem(&odd), "failed (Unknown Error)");
        let auth = Error::new(ErrorKind::Auth, "WRONGPASS s3cret");
        assert!(!problem(&auth).contains("s3cret"));
    }
}
