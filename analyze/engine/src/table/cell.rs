use super::{Column, ColumnType, Labels, Texts};
use crate::Addr;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// A value that a table cell can hold.
pub trait Cell {
    /// Column type it needs.
    const TYPE: ColumnType;
    /// Whether it can be absent.
    const NULLABLE: bool = false;

    /// Appends it to a column of its type; a column of another type is left as it is.
    fn push(&self, column: &mut Column);

    /// Appends an absent value to a column of its type.
    fn push_null(column: &mut Column)
    where
        Self: Sized;
}

/// Nanoseconds since the epoch, for a `ts` column (microseconds, UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub i64);

/// A text that repeats in many rows (file and point names, states): shared, and a dictionary column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A fixed text.
    Static(&'static str),
    /// A text made at run time.
    Shared(Arc<str>),
}

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Default for Label {
    fn default() -> Self {
        Self::Static("")
    }
}

impl From<&'static str> for Label {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<Arc<str>> for Label {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl Default for &Label {
    fn default() -> Self {
        const { &Label::Static("") }
    }
}

/// Several values as one text, a space between them.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a, T>(pub &'a [T]);

impl<T: fmt::Display> Joined<'_, T> {
    fn write(&self, text: &mut String) {
        for (at, value) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            // Writing to a text does not fail.
            let _ = write!(text, "{space}{value}");
        }
    }
}

macro_rules! plain_cell {
    ($($ty:ty => $column:ident, $value:expr;)*) => {
        $(impl Cell for $ty {
            const TYPE: ColumnType = ColumnType::$column;

            fn push(&self, column: &mut Column) {
                if let Column::$column(values) = column {
                    let value: fn(&$ty) -> _ = $value;
                    values.push(value(self));
                }
            }

            fn push_null(column: &mut Column) {
                if let Column::$column(values) = column {
                    values.push_null();
                }
            }
        })*
    };
}

plain_cell! {
    i32 => Int32, |v| *v;
    i64 => Int64, |v| *v;
    f64 => Float64, |v| *v;
    bool => Bool, |v| *v;
    Time => Time, |v| v.0.div_euclid(1000);
    Addr => Addr, |v| *v;
}

macro_rules! text_cell {
    ($($ty:ty => $column:ident($inner:ty), $push:expr;)*) => {
        $(impl Cell for $ty {
            const TYPE: ColumnType = ColumnType::$column;

            fn push(&self, column: &mut Column) {
                if let Column::$column(values) = column {
                    let push: fn(&$ty, &mut $inner) = $push;
                    push(self, values);
                }
            }

            fn push_null(column: &mut Column) {
                if let Column::$column(values) = column {
                    values.push_null();
                }
            }
        })*
    };
}

text_cell! {
    &str => Text(Texts), |v, c| c.push_with(|text| text.push_str(v));
    String => Text(Texts), |v, c| c.push_with(|text| text.push_str(v));
    Joined<'_, Addr> => Text(Texts), |v, c| c.push_with(|text| v.write(text));
    Joined<'_, Box<str>> => Text(Texts), |v, c| c.push_with(|text| v.write(text));
    Label => Label(Labels), |v, c| c.push(v);
    &Label => Label(Labels), |v, c| c.push(v);
}

impl<T: Cell> Cell for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;

    fn push(&self, column: &mut Column) {
        match self {
            Some(value) => value.push(column),
            None => T::push_null(column),
        }
    }

    fn push_null(column: &mut Column) {
        T::push_null(column);
    }
}
