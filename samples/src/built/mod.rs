//! The captures of the cases that no lab can make, or that are too simple to need one.

mod apps;
mod damaged;
mod dns;
mod foreign;
mod formats;
mod ip;
mod link_types;
mod lookups;
mod nat;
mod near_misses;
mod paths;
mod routes;
mod talk;
mod trouble;
mod tunnels;

use std::path::Path;
use std::{fs, io};

/// A capture that is built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Folder of its case.
    pub case: &'static str,
    /// Name in that folder.
    pub name: &'static str,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(case: &'static str, name: &'static str, bytes: Vec<u8>) -> Self {
        Self { case, name, bytes }
    }
}

/// All of them, always the same.
///
/// # Errors
/// None, unless compressing in memory fails.
pub fn all() -> io::Result<Vec<File>> {
    let mut files = link_types::files();
    files.extend(tunnels::files());
    files.extend(ip::files());
    files.extend(formats::files()?);
    files.extend(damaged::files()?);
    files.extend(foreign::files());
    files.extend(near_misses::files());
    files.extend(nat::files());
    files.extend(apps::files());
    files.extend(lookups::files());
    files.extend(paths::files());
    files.extend(routes::files());
    files.extend(trouble::files());
    files.extend(dns::files());
    Ok(files)
}

/// Writes all of them below `cases`.
///
/// # Errors
/// One cannot be written.
pub fn write(cases: &Path) -> io::Result<usize> {
    let files = all()?;
    for file in &files {
        let folder = cases.join(file.case);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(file.name), &file.bytes)?;
    }
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    #[test]
    fn committed_captures_are_the_built_ones() {
        for file in all().unwrap() {
            let path = case::folder().join(file.case).join(file.name);
            let committed = fs::read(&path).unwrap_or_default();
            assert!(
                committed == file.bytes,
                "{} differs; cargo run -p kcap-samples --bin make-samples",
                path.display()
            );
        }
    }

    #[test]
    fn each_is_small_and_named_once() {
        let files = all().unwrap();
        let mut names: Vec<_> = files.iter().map(|file| (file.case, file.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), files.len());
        assert!(files.iter().all(|file| file.bytes.len() < 200_000));
    }
}
