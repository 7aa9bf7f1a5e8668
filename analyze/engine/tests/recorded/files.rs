//! Recorded captures, where they are there: the folder that `KCAP_CAPTURES` names.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const THREADS: usize = 2;

/// All files below some of its folders, by name; `None`, said aloud, where there are none.
pub(crate) fn captures(folders: &[&str]) -> Option<Vec<PathBuf>> {
    let Some(root) = std::env::var_os("KCAP_CAPTURES") else {
        println!("skipped: KCAP_CAPTURES is not set");
        return None;
    };
    let mut files = Vec::new();
    for folder in folders {
        list(&Path::new(&root).join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no files below {folders:?} of {}", Path::new(&root).display());
    Some(files)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// What `work` makes of each file, put together by `add`.
pub(crate) fn total<T: Default + Send>(
    files: &[PathBuf],
    work: impl Fn(&Path) -> T + Sync,
    add: impl Fn(&mut T, T) + Sync,
) -> T {
    let total = Mutex::new(T::default());
    for_each(files, |file| {
        let one = work(file);
        add(&mut total.lock().expect("no thread panics with the total"), one);
    });
    total.into_inner().expect("no thread panics with the total")
}

/// Calls `work` for each file, a few at a time; says of which file it was when it panics.
pub(crate) fn for_each(files: &[PathBuf], work: impl Fn(&Path) + Sync) {
    let queue = Mutex::new(files.iter());
    let next = || queue.lock().expect("no thread panics with the queue").next();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(file) = next() {
                    let done = catch_unwind(AssertUnwindSafe(|| work(file)));
                    assert!(done.is_ok(), "{}", file.display());
                }
            });
        }
    });
}
