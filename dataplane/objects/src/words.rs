//! What went wrong with the API server, in its own words. No error of its client has an object in it.

use kube::Error;
use kube::core::Status;

/// What an error of the client says, in one line.
pub(crate) fn of_error(error: &Error) -> String {
    if let Error::Api(status) = error {
        return of_status(status);
    }
    chain(error)
}

/// What a refusal says.
pub(crate) fn of_status(status: &Status) -> String {
    let reason = if status.message.is_empty() {
        &status.reason
    } else {
        &status.message
    };
    format!("the API server answers {}: {reason}", status.code)
}

/// An error and what is behind it: "client error" alone tells nobody anything.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_what_is_behind_it() {
        let mut status = Status::failure("secrets \"a\" is forbidden", "Forbidden").with_code(403);
        let api = Error::Api(Box::new(status.clone()));
        assert_eq!(
            of_error(&api),
            "the API server answers 403: secrets \"a\" is forbidden"
        );
        status.message.clear();
        assert_eq!(of_status(&status), "the API server answers 403: Forbidden");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let service = Error::Service(Box::new(refused));
        assert_eq!(of_error(&service), "ServiceError: connection refused");
    }
}
