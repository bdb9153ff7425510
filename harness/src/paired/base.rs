//! The base revision: checked out in a worktree of its own and built there.

use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// Why a revision could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Git or cargo could not be started.
    #[error("`{0}` could not be started: {1}")]
    Start(&'static str, std::io::Error),
    /// Git knows no such revision here, or cannot check it out.
    #[error("git: {0}")]
    Git(String),
    /// The revision does not build; cargo has told why.
    #[error("revision {0} does not build with `cargo build --release`; its errors are above")]
    Build(String),
}

/// A revision, built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The full commit.
    pub commit: String,
    /// Its `regatta` command.
    pub program: PathBuf,
    /// Its working tree.
    pub tree: PathBuf,
}

/// The commit that `revision` means in the repository around this folder.
///
/// # Errors
/// [`BuildError::Git`] when it means none.
pub fn commit(revision: &str) -> Result<String, BuildError> {
    git(Path::new("."), &["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
}

/// Builds the `regatta` command of `revision` in a worktree below the target folder; one that is there is used again.
///
/// # Errors
/// [`BuildError`]; a half-made worktree is made anew the next time.
pub fn build(revision: &str) -> Result<Built, BuildError> {
    let commit = commit(revision)?;
    let root = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?);
    let tree = root.join("target/gate").join(&commit[..12.min(commit.len())]);
    let there = tree.join("Cargo.toml").is_file()
        && git(&tree, &["rev-parse", "HEAD"]).is_ok_and(|head| head == commit);
    if !there {
        // Git may still know of one that somebody removed.
        git(&root, &["worktree", "prune"])?;
        let path = tree.to_string_lossy();
        git(&root, &["worktree", "add", "--force", "--detach", &path, &commit])?;
    }
    // One target folder for all bases: what they have in common is built once.
    let target = root.join("target/gate/build");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "-p", "regatta-harness", "--bin", "regatta"]);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &target);
    let status = cargo.status().map_err(|error| BuildError::Start("cargo", error))?;
    if !status.success() {
        return Err(BuildError::Build(commit));
    }
    // The shared folder holds the last build only: each base keeps a copy of its own.
    let program = tree.join("target-regatta");
    let copied = std::fs::copy(target.join("release/regatta"), &program);
    copied.map_err(|error| BuildError::Start("cp", error))?;
    Ok(Built { commit, program, tree })
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let output = Command::new("git").current_dir(folder).args(arguments).output();
    let output = output.map_err(|error| BuildError::Start("git", error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(BuildError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
