//! The configuration is reloaded without a signal when its files change.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::{metric, wait_lines, watch_for};
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const OTHER: &str = "[[routes]]\nname = \"other\"\npath = \"/other/{x}\"\nupstream = \"origin\"\nauth = \"public\"\n";

/// A little more than two intervals of polling the files.
const SEVERAL_POLLS: Duration = Duration::from_millis(3500);

async fn wait_reloads(gateway: &Rillgate, result: &str, count: f64) {
    let label = format!("result=\"{result}\"");
    eventually(DEADLINE, || async { metric(gateway, "config_reloads_total", &[&label]).await >= count }).await;
    assert_eq!(metric(gateway, "config_reloads_total", &[&label]).await, count);
}

async fn status(gateway: &Rillgate, path: &str) -> u16 {
    Client::http1(gateway.address()).try_request("HEAD", path, &[]).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_changed_file_is_loaded_and_a_broken_one_refused_once() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let gateway = setup.start().await;
    assert_eq!(status(&gateway, "/other/x").await, 404);

    gateway.rewrite(&setup.clone().after(OTHER).toml());
    wait_reloads(&gateway, "ok", 1.0).await;
    assert_eq!(status(&gateway, "/other/x").await, 200);

    gateway.rewrite("[[routes]]\nname = \"half a file\"\n");
    wait_reloads(&gateway, "refused", 1.0).await;
    watch_for(SEVERAL_POLLS).await;
    wait_reloads(&gateway, "refused", 1.0).await;
    assert_eq!(status(&gateway, "/other/x").await, 200, "the running configuration was replaced");
    wait_lines(&gateway, &["configuration not reloaded", "listeners: missing required key"], 1).await;

    gateway.rewrite(&setup.toml());
    wait_reloads(&gateway, "ok", 2.0).await;
    assert_eq!(status(&gateway, "/other/x").await, 404);
}

#[tokio::test]
async fn the_symlink_swap_of_a_mounted_volume_is_detected() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let gateway = setup.start().await;
    let folder = gateway.folder().to_owned();
    let version = |name: &str, toml: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("rillgate.toml"), toml).unwrap();
        symlink(name, folder.join("..next")).unwrap();
        std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    };
    // A kubelet lays a volume out like this: the file is a link through `..data` into a folder per version.
    version("..first", &setup.toml());
    symlink("..data/rillgate.toml", folder.join("link")).unwrap();
    std::fs::rename(folder.join("link"), folder.join("rillgate.toml")).unwrap();
    wait_reloads(&gateway, "ok", 1.0).await;

    version("..second", &setup.clone().after(OTHER).toml());

    wait_reloads(&gateway, "ok", 2.0).await;
    assert_eq!(status(&gateway, "/other/x").await, 200);
}

#[tokio::test]
async fn changed_and_new_secret_files_are_read() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let gateway = setup.start().await;
    let with_key = setup.clone().upstream("headers = { x-api-key = { file = \"key\" } }");

    gateway.rewrite(&with_key.toml());
    wait_reloads(&gateway, "refused", 1.0).await;
    for (count, key) in [(1.0, "first"), (2.0, "second")] {
        std::fs::write(gateway.folder().join("key"), key).unwrap();
        wait_reloads(&gateway, "ok", count).await;
        let _reader = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
        let asked = origin.requests();
        assert_eq!(asked.last().unwrap().header("x-api-key"), Some(key));
    }
}

#[tokio::test]
async fn nothing_is_watched_with_watch_false() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url()).server("watch = false");
    let gateway = setup.start().await;

    gateway.rewrite(&setup.clone().after(OTHER).toml());
    watch_for(SEVERAL_POLLS).await;

    assert_eq!(status(&gateway, "/other/x").await, 404);
    gateway.signal("HUP");
    wait_reloads(&gateway, "ok", 1.0).await;
    assert_eq!(status(&gateway, "/other/x").await, 200);
}
