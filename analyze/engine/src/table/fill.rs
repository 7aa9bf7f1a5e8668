//! Rows appended a column at a time.

use super::{Column, Label, Rows};
use crate::Addr;

/// Appends one row for each item, the columns in their order.
pub(crate) struct Fill<'a, T> {
    rows: &'a mut Rows,
    items: &'a [T],
    /// Column that comes next.
    next: usize,
}

macro_rules! plain {
    ($($name:ident($ty:ty) => $column:ident, $value:expr;)*) => {
        $(pub(crate) fn $name(&mut self, name: &str, cell: impl Fn(&T) -> $ty) {
            let items = self.items;
            if let Some(Column::$column(values)) = self.column(name) {
                let value: fn($ty) -> _ = $value;
                values.extend(items.iter().map(|item| value(cell(item))));
            }
        })*
    };
}

macro_rules! optional {
    ($($name:ident($ty:ty) => $column:ident;)*) => {
        $(pub(crate) fn $name(&mut self, name: &str, cell: impl Fn(&T) -> Option<$ty>) {
            let items = self.items;
            if let Some(Column::$column(values)) = self.column(name) {
                for item in items { values.push_some(cell(item)); }
            }
        })*
    };
}

impl<'a, T> Fill<'a, T> {
    pub(crate) fn new(rows: &'a mut Rows, items: &'a [T]) -> Self {
        if rows.len == 0 {
            rows.reserve(rows.spec.batch_rows());
        }
        Self { rows, items, next: 0 }
    }

    fn column(&mut self, name: &str) -> Option<&mut Column> {
        let at = self.next;
        debug_assert_eq!(self.rows.spec.columns.get(at).map(|column| column.name), Some(name));
        self.next += 1;
        self.rows.columns.get_mut(at)
    }

    plain! {
        int32(i32) => Int32, |value| value;
        int64(i64) => Int64, |value| value;
        bool(bool) => Bool, |value| value;
        time(i64) => Time, |ns| ns.div_euclid(1000);
    }

    optional! {
        some_int64(i64) => Int64;
        some_addr(Addr) => Addr;
    }

    pub(crate) fn label<'l>(&mut self, name: &str, cell: impl Fn(&T) -> &'l Label) {
        let items = self.items;
        if let Some(Column::Label(labels)) = self.column(name) {
            for item in items {
                labels.push(cell(item));
            }
        }
    }

    pub(crate) fn same_label(&mut self, name: &str, label: &Label) {
        let len = self.items.len();
        if let Some(Column::Label(labels)) = self.column(name) {
            labels.push_often(label, len);
        }
    }

    pub(crate) fn name(&mut self, name: &str, cell: impl Fn(&T) -> &'static str) {
        let items = self.items;
        if let Some(Column::Label(labels)) = self.column(name) {
            for item in items {
                labels.push(&Label::Static(cell(item)));
            }
        }
    }

    pub(crate) fn some_name(&mut self, name: &str, cell: impl Fn(&T) -> Option<&'static str>) {
        let items = self.items;
        if let Some(Column::Label(labels)) = self.column(name) {
            for item in items {
                labels.push_some(cell(item).map(Label::Static).as_ref());
            }
        }
    }

    /// All columns have their cells.
    pub(crate) fn end(self) {
        debug_assert_eq!(self.next, self.rows.columns.len());
        self.rows.len += self.items.len();
        debug_assert!(self.rows.columns.iter().all(|column| column.len() == self.rows.len));
    }
}
