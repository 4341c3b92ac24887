//! A small disk that can be filled, for one server: a tmpfs in a mount namespace of its own.
//!
//! Always true: nobody else sees it, and it is gone with the `SmallDisk`. Only root may mount it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, bound_to_this_process};
use super::wait::DEADLINE;

/// A small disk.
pub struct SmallDisk {
    /// Holds the namespace.
    holder: Process,
    folder: PathBuf,
}

impl SmallDisk {
    /// Returns the reason why there can be none, if there is one.
    pub fn obstacle() -> Option<String> {
        let mut mount = Command::new("unshare");
        let mounted = mount.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        match mounted {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(format!("unshare: {error}")),
        }
    }

    /// Mounts a disk with this many MiB over a folder that exists.
    pub async fn mount(folder: &Path, mebibytes: u32) -> Self {
        let script = format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$0\" && echo mounted && exec sleep infinity");
        let mut command = bound_to_this_process(&Command::new("unshare"));
        let holder = Process::start(command.args(["--mount", "sh", "-c", &script]).arg(folder));
        holder.wait_line("mounted", DEADLINE).await;
        Self { holder, folder: folder.to_owned() }
    }

    /// Returns a command for a program that has the disk.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = bound_to_this_process(&Command::new("nsenter"));
        command.args(["--mount", "--target", &self.holder.id().to_string(), "--"]).arg(program);
        command
    }

    /// Fills what is left of the disk.
    pub fn fill(&self) {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    /// Makes room again.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    /// The file, as it is seen from outside of the namespace.
    fn ballast(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap().join("ballast");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }
}
