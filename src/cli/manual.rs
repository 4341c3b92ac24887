//! `rillgate man`: writes the manual pages, one for the program and one for each of its commands.
//!
//! Always true: the pages come from the arguments that this program parses. Hidden from the help, because only who makes
//! a package needs it.

use std::fs::create_dir_all;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_mangen::generate_to;

use super::{Arguments, Failure, Outcome};

/// The options of the manual pages.
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// The folder that gets them; made if it is missing. Pages that are there are replaced.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Manual {
    pub(super) fn run(&self) -> Outcome {
        create_dir_all(&self.folder)
            .and_then(|()| generate_to(Arguments::command(), &self.folder))
            .map_err(|error| Failure::Failed(format!("{}: {error}", self.folder.display())))
    }
}
