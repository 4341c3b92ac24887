use http::Request;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// The parts of a request that decide which stream it gets.
#[derive(Clone, Debug, PartialEq)]
struct Case {
    route: String,
    path: String,
    shared: Vec<(String, String)>,
    subject: Option<u8>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    accept: Option<String>,
    credential: Option<String>,
    body: Vec<u8>,
}

/// Short values over few characters, so that two cases are often equal in parts.
fn text() -> impl Strategy<Value = String> {
    "[ab]{0,2}"
}

fn case() -> impl Strategy<Value = Case> {
    let pair = (text(), text());
    let fields = [(); 4].map(|()| option::of(text()));
    (text(), text(), vec(pair, 0..2), option::of(0..2_u8), fields, vec(0..2_u8, 0..3)).prop_map(
        |(route, path, shared, subject, [content_type, content_encoding, accept, credential], body)| Case {
            route,
            path,
            shared,
            subject,
            content_type,
            content_encoding,
            // An empty list is as good as none.
            accept: accept.filter(|accept| !accept.is_empty()),
            credential,
            body,
        },
    )
}

/// Two cases that differ in nothing, or in a few fields.
fn alike() -> impl Strategy<Value = (Case, Case)> {
    (case(), case(), vec(any::<bool>(), 9)).prop_map(|(one, other, is_taken)| {
        let mut alike = one.clone();
        for (index, is_taken) in is_taken.into_iter().enumerate() {
            match index {
                _ if !is_taken => {}
                0 => alike.route.clone_from(&other.route),
                1 => alike.path.clone_from(&other.path),
                2 => alike.shared.clone_from(&other.shared),
                3 => alike.subject = other.subject,
                4 => alike.content_type.clone_from(&other.content_type),
                5 => alike.content_encoding.clone_from(&other.content_encoding),
                6 => alike.accept.clone_from(&other.accept),
                7 => alike.credential.clone_from(&other.credential),
                _ => alike.body.clone_from(&other.body),
            }
        }
        (one, alike)
    })
}

fn settings(key: PostKeySource, across_subjects: bool) -> PostSettings {
    PostSettings {
        key,
        across_subjects,
        body_bytes: 1024,
        body_timeout: std::time::Duration::from_secs(1),
        forward_headers: vec![HeaderName::from_static("x-api-key")],
        retry: false,
    }
}

fn key(case: &Case, settings: &PostSettings) -> PostKey {
    let given = [
        ("content-type", &case.content_type),
        ("content-encoding", &case.content_encoding),
        ("accept", &case.accept),
        ("x-api-key", &case.credential),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let request = given.fold(Request::post("/"), |request, (name, value)| request.header(name, value));
    let head = request.header("idempotency-key", "1").body(()).unwrap().into_parts().0;
    let fields = PostFields::from_head(&head, settings).unwrap();
    let parts = KeyParts {
        route: &case.route,
        path: &case.path,
        shared: &case.shared,
        fields: &fields,
        subject: case.subject.map(|subject| [subject; 32]),
        is_public: false,
        body: &case.body,
    };
    PostKey::new(settings, &head, &parts).unwrap()
}

proptest! {
    #[test]
    fn requests_share_a_stream_only_if_everything_that_counts_is_equal((one, other) in alike()) {
        let settings = settings(PostKeySource::Body, false);
        let (first, second) = (key(&one, &settings), key(&other, &settings));

        let is_shared = first.shared.is_some() && first.shared == second.shared;

        prop_assert_eq!(is_shared, one == other && one.subject.is_some());
    }

    #[test]
    fn subjects_never_share_a_url_and_credentials_never_do((one, other) in alike()) {
        let settings = settings(PostKeySource::Each, false);
        let pair = |case: &Case| {
            let key = key(case, &settings);
            key_pair(&settings, "name", key.subject, &key.credentials)
        };

        let is_equal = one.subject == other.subject && one.credential == other.credential;

        prop_assert_eq!(pair(&one) == pair(&other), is_equal);
    }

    #[test]
    fn across_subjects_only_the_subject_does_not_count((one, other) in alike()) {
        let settings = settings(PostKeySource::Body, true);
        let is_equal = Case { subject: None, ..one.clone() } == Case { subject: None, ..other.clone() };

        prop_assert_eq!(key(&one, &settings).shared == key(&other, &settings).shared, is_equal);
    }
}

proptest! {
    #[test]
    fn a_header_never_lets_two_subjects_share((one, other) in alike()) {
        let settings = settings(PostKeySource::Header(HeaderName::from_static("idempotency-key")), false);
        let (first, second) = (key(&one, &settings), key(&other, &settings));

        let is_shared = first.shared.is_some() && first.shared == second.shared;

        let same = Case { body: one.body.clone(), ..other.clone() };
        prop_assert_eq!(is_shared, one == same && one.subject.is_some());
    }
}

#[test]
fn the_header_of_the_key_is_needed_and_the_body_does_not_count() {
    let settings = settings(PostKeySource::Header(HeaderName::from_static("idempotency-key")), false);
    let case = |body: &[u8]| Case {
        route: String::new(),
        path: String::new(),
        shared: Vec::new(),
        subject: Some(1),
        content_type: None,
        content_encoding: None,
        accept: None,
        credential: None,
        body: body.to_vec(),
    };

    let (one, other) = (key(&case(b"a"), &settings), key(&case(b"b"), &settings));

    assert!(one.shared.is_some() && one.shared == other.shared && one.body != other.body);
}
