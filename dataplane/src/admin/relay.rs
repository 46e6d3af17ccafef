//! Any member answers for the whole cluster: what only the master knows, or may change, a member asks it over the
//! peer channel, and hands on what it says (spec: cluster, 7).
//!
//! Of what can be read a member answers by its own records where the master is not reached, and says so in
//! [`BY`]; what changes something is refused then. What a node tells of itself (health, metrics, status, logs,
//! traces, its manifest, its view of the members) is not asked elsewhere.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use lns_peers::limits::{ADMIN_ANSWER, ADMIN_QUERY};
use lns_peers::wire::{AdminAnswer, AdminQuery};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use tracing::info;

use super::server::Peer;
use super::{Admin, Refusal, everything};
use crate::member::{AskedByMember, Desk};

/// Which node has answered, where it is not this one or should not be.
pub(super) const BY: HeaderName = HeaderName::from_static("lns-answered-by");

/// What only the master knows the whole of, and what only it may change.
const MASTERS: [&str; 11] = [
    "/v1/disconnect",
    "/v1/failures",
    "/v1/finalize-upgrade",
    "/v1/flows",
    "/v1/lacs",
    "/v1/policies",
    "/v1/pools",
    "/v1/radius",
    "/v1/sessions",
    "/v1/step-down",
    "/v1/tunnels",
];

/// Has the master answer, if this node follows one.
pub(super) async fn relay(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let desk = admin.member.as_ref();
    let Some(desk) = desk.filter(|desk| !desk.serves() && is_masters(request.uri().path())) else {
        return next.run(request).await;
    };
    let Some(master) = desk.other_master() else {
        return without_master(desk, request, next).await;
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, ADMIN_QUERY).await else {
        return Refusal::bad(format!("the request has more than {ADMIN_QUERY} octets"))
            .into_response();
    };
    let path = head.uri.path_and_query();
    let query = AdminQuery {
        method: head.method.to_string(),
        path: path.map(ToString::to_string).unwrap_or_default(),
        body: body.to_vec(),
    };
    match desk.ask_admin(&master, query).await {
        Ok(answer) => said_by(&master.to_string(), of_master(answer)),
        Err(why) if head.method == Method::GET => {
            let own = next.run(Request::from_parts(head, body.into())).await;
            let this = desk.view().node;
            let note =
                format!("{this}, by its own records: the master {master} is not reached: {why}");
            said_by(&note, own)
        }
        Err(why) => Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the master {master} is not reached, and nobody else changes anything: {why}"),
        )
        .into_response(),
    }
}

/// Nobody is known to be master: it may be read what is known here.
async fn without_master(desk: &Desk, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        let note = format!(
            "{}, by its own records: no master is known",
            desk.view().node
        );
        return said_by(&note, next.run(request).await);
    }
    Refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "no master is known, and nobody else changes anything".to_owned(),
    )
    .into_response()
}

fn is_masters(path: &str) -> bool {
    let of = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    MASTERS.into_iter().any(of)
}

fn said_by(who: &str, mut answer: Response) -> Response {
    if let Ok(who) = HeaderValue::from_str(who) {
        answer.headers_mut().insert(BY, who);
    }
    answer
}

fn of_master(answer: AdminAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = [(header::CONTENT_TYPE, answer.content_type)];
    (status, kind, answer.body).into_response()
}

/// Answers other members, for ever. They have found that whoever asks may.
pub(crate) async fn serve(admin: Admin, mut asked: mpsc::Receiver<AskedByMember>) {
    let desk = admin.member.clone();
    let router = Router::from(everything())
        .with_state(admin)
        .layer(Extension(Option::<Peer>::None));
    while let Some(asked) = asked.recv().await {
        if desk.as_ref().is_none_or(|desk| !desk.serves()) {
            asked.fail();
            continue;
        }
        let router = router.clone();
        // At most as many as peers may have questions.
        tokio::spawn(async move {
            let answer = answer(router, &asked).await;
            asked.answer(answer);
        });
    }
}

async fn answer(router: Router, asked: &AskedByMember) -> AdminAnswer {
    let query = &asked.query;
    if query.method != Method::GET.as_str() {
        info!(member = %asked.from, path = query.path, "asked for by another member");
    }
    let request = Request::builder()
        .method(query.method.as_str())
        .uri(query.path.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(query.body.clone()));
    let answer = match request {
        Ok(request) => match router.oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        },
        Err(error) => Refusal::bad(error.to_string()).into_response(),
    };
    let status = answer.status().as_u16();
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let content_type = kind.and_then(|kind| kind.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    match to_bytes(answer.into_body(), ADMIN_ANSWER).await {
        Ok(body) => AdminAnswer {
            status,
            content_type,
            body: body.to_vec(),
        },
        Err(error) => AdminAnswer {
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            content_type: "text/plain".to_owned(),
            body: error.to_string().into_bytes(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_tells_of_itself_is_not_asked_elsewhere() {
        for own in [
            "/healthz",
            "/readyz",
            "/metrics",
            "/v1/status",
            "/v1/members",
            "/v1/logs",
        ] {
            assert!(!is_masters(own), "{own}");
        }
        assert!(!is_masters("/v1/sessionsx"));
        for masters in [
            "/v1/sessions",
            "/v1/sessions/1-2/messages",
            "/v1/flows/flush",
        ] {
            assert!(is_masters(masters), "{masters}");
        }
    }
}
