//! Secrets are read without changes and never shown.

use super::{Folder, GOOD, KEYS, SECRET, URL};

#[test]
fn problems_and_dumps_contain_no_secret() {
    let folder = Folder::new();
    let secret_key = format!("{{ secret = {{ env = \"SET\" }}, algorithm = \"HS256\" }}, {KEYS}");
    let header = "headers = { x-a = { env = \"SET\" }, x-b = { file = \"token\" } }\n[issuers.main]";
    let good = GOOD.replace(KEYS, &secret_key).replace("[issuers.main]", header);
    let quoted = format!("\"{SECRET}\"");
    let wrong = [
        format!("secret = {quoted}"),
        format!("secret = {SECRET}"),
        format!("secret = \"{SECRET}"),
        format!("secret = {{ file = {quoted} }}"),
        format!("secret = {{ env = {quoted} }}"),
        format!("secret = {{ env = {quoted}, file = {quoted} }}"),
        format!("secret = {{ env = [{quoted}] }}"),
        format!("secret = {{ file = \"hmac.key\", encoding = {quoted} }}"),
        format!("secret = {{ file = \"hmac.key\" }}, kid = [{quoted}]"),
        format!("algorithm = {quoted}"),
        format!("pem_file = {quoted}"),
        format!("jwks_file = {quoted}"),
        format!("jwks_url = \"https://me:{SECRET}@id.example.com\""),
        format!("jwks_url = \"http://id.example.com/{SECRET}\""),
    ];
    let wrong = wrong.iter().map(|key| GOOD.replace(KEYS, &format!("{{ {key} }}")));
    let wrong_headers = [
        format!("x-a = \"{SECRET}\\n\""),
        format!("x-a = {{ env = {quoted} }}"),
        format!("x-a = {{ file = {quoted} }}"),
        "x-a = { file = \"two-lines\" }".to_owned(),
        format!("x-a = [{quoted}]"),
        format!("host = \"me@{SECRET}\""),
        format!("x-a = {SECRET}"),
    ];
    let wrong_headers = wrong_headers
        .iter()
        .map(|header| GOOD.replace("[issuers.main]", &format!("headers = {{ {header} }}\n[issuers.main]")));
    let wrong_url = GOOD.replace(URL, &format!("\"http://me:{SECRET}@127.0.0.1\""));
    let wrong_origin = GOOD.replace("# end", &format!("cors.origins = [\"https://me:{SECRET}@a.example\"]"));

    let config = folder.parse(&good).expect("a valid file");
    let upstream = &config.upstreams["events"];
    let dumps = [format!("{config:?}"), format!("{config:#?}"), config.summary()];
    let mut outputs: Vec<String> = dumps.into();
    for text in wrong.chain(wrong_headers).chain([wrong_url, wrong_origin]) {
        let problems = folder.parse(&text).expect_err(&text);
        outputs.extend([problems.to_string(), format!("{problems:?}")]);
    }

    assert_eq!(upstream.headers[0].1.as_bytes(), SECRET.as_bytes());
    assert_eq!(upstream.headers[1].1.as_bytes(), format!("Bearer {SECRET}").as_bytes());
    assert!(outputs.len() > 40);
    for text in outputs {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("104, 117, 110, 116"), "{text}");
    }
}

#[test]
fn a_shared_secret_is_read_without_changes() {
    let folder = Folder::new();
    folder.write("newline.key", format!("{SECRET}\n").as_bytes());
    folder.write("base64.key", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAA=\n");
    let secrets = "{ secret = { file = \"newline.key\" }, algorithm = \"HS256\" }, \
                   { secret = { file = \"base64.key\", encoding = \"base64\" }, algorithm = \"HS512\" }";

    let config = folder.parse(&GOOD.replace(KEYS, secrets)).expect("a valid file");

    let bytes = |index: usize| {
        let source = &config.issuers["main"].keys[index];
        let rillgate::auth::KeySource::Secret { secret, .. } = source else { panic!("{source:?}") };
        secret.reveal().to_vec()
    };
    assert_eq!(bytes(0), format!("{SECRET}\n").as_bytes());
    assert_eq!(bytes(1), [0; 32]);
}
