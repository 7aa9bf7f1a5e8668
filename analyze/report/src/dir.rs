use crate::{
    Format, TableError,
    format::{FORMATS, TableWriter},
    output::Output,
};
use kcap_analyze::table::{Rows, Sink, SinkError, TableSpec};
use polars::error::PolarsError;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// What a table folder is to hold.
pub struct Layout {
    /// Format of its files.
    pub format: &'static Format,
    /// Every table there is.
    pub tables: &'static [TableSpec],
    /// Names of tables to leave out.
    pub without: Vec<&'static str>,
    /// Whether the folder may hold something; tables of an earlier run are then replaced or removed.
    pub overwrite: bool,
}

/// A folder of tables, one file each, which get their names when all of them are complete.
///
/// Until [`TableDir::finish`] the files end in `.part`; dropping the folder before that removes them.
pub struct TableDir {
    path: PathBuf,
    layout: Layout,
    files: Vec<TableFile>,
    finished: bool,
}

struct TableFile {
    spec: TableSpec,
    part: PathBuf,
    output: Output,
    writer: Box<dyn TableWriter>,
}

impl TableDir {
    /// Makes the folder and begins every wanted table's file, so that what cannot be written is known before anything
    /// is read.
    ///
    /// # Errors
    /// The folder is not empty and may not be overwritten, or a file cannot be made.
    pub fn create(path: &Path, layout: Layout) -> Result<Self, TableError> {
        claim(path, layout.overwrite)?;
        let mut dir = Self { path: path.to_owned(), layout, files: Vec::new(), finished: false };
        for &spec in dir.layout.tables.iter().filter(|spec| !dir.layout.without.contains(&spec.name)) {
            dir.files.push(TableFile::create(path, spec, dir.layout.format)?);
        }
        Ok(dir)
    }

    /// Writes what is left of every table and gives the files their names, which it returns.
    ///
    /// # Errors
    /// A file cannot be written or renamed; then no table of this run stays that looks complete and is not.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, TableError> {
        for file in &mut self.files {
            file.finish()?;
        }
        self.remove_earlier()?;
        let suffix = self.layout.format.suffix;
        let names = self.files.iter().map(|file| {
            let to = file_name(&self.path, file.spec.name, suffix);
            match fs::rename(&file.part, &to) {
                Ok(()) => Ok(to),
                Err(source) => Err(TableError::Rename { from: file.part.clone(), to, source }),
            }
        });
        let names = names.collect::<Result<_, _>>()?;
        self.finished = true;
        Ok(names)
    }

    /// Removes the tables of an earlier run, in any format: beside new ones they would be taken for the same run's.
    fn remove_earlier(&self) -> Result<(), TableError> {
        for spec in self.layout.tables {
            for format in FORMATS {
                remove(file_name(&self.path, spec.name, format.suffix))?;
            }
        }
        Ok(())
    }
}

impl Sink for TableDir {
    fn wants(&self, table: &str) -> bool {
        self.files.iter().any(|file| file.spec.name == table)
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), SinkError> {
        let table = rows.spec.name;
        match self.files.iter_mut().find(|file| file.spec.name == table) {
            Some(file) => file.write(rows).map_err(|error| SinkError { table, source: error.into() }),
            None => Ok(()),
        }
    }
}

impl Drop for TableDir {
    fn drop(&mut self) {
        if !self.finished {
            for file in &self.files {
                // Whatever made writing stop has been reported; a file that stays is named `.part`.
                let _ = fs::remove_file(&file.part);
            }
        }
    }
}

impl TableFile {
    fn create(dir: &Path, spec: TableSpec, format: &Format) -> Result<Self, TableError> {
        let part = file_name(dir, spec.name, &format!("{}.part", format.suffix));
        remove(part.clone())?;
        let file = File::create_new(&part).map_err(|source| TableError::Write { path: part.clone(), source })?;
        let output = Output::new(file);
        let writer = (format.create)(output.clone(), spec).map_err(|error| explain(&part, &output, error))?;
        Ok(Self { spec, part, output, writer })
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), TableError> {
        self.writer.write(rows).map_err(|error| explain(&self.part, &self.output, error))
    }

    fn finish(&mut self) -> Result<(), TableError> {
        let finished = self.writer.finish().and_then(|()| Ok(self.output.flush()?));
        finished.map_err(|error| explain(&self.part, &self.output, error))
    }
}

/// The file's own error where it had one, else the encoder's.
fn explain(part: &Path, output: &Output, error: PolarsError) -> TableError {
    let path = part.to_owned();
    match output.error() {
        Some(source) => TableError::Write { path, source },
        None => TableError::Encode { path, source: error },
    }
}

fn file_name(dir: &Path, table: &str, suffix: &str) -> PathBuf {
    dir.join(format!("{table}.{suffix}"))
}

fn remove(path: PathBuf) -> Result<(), TableError> {
    match fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(TableError::Remove { path, source }),
        _ => Ok(()),
    }
}

/// Makes the folder, or finds it empty or free to be overwritten.
fn claim(path: &Path, overwrite: bool) -> Result<(), TableError> {
    let folder = |source: io::Error| TableError::Folder { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(folder)?;
    let empty = fs::read_dir(path).map_err(folder)?.next().is_none();
    if empty || overwrite { Ok(()) } else { Err(TableError::NotEmpty { path: path.to_owned() }) }
}
