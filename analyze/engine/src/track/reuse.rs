//! Boxes that are used again: to take one from the allocator and to give it back costs more than to fill it.

/// A value in a spare box, where there is one.
pub(crate) fn boxed<T>(spare: &mut Vec<Box<T>>, value: T) -> Box<T> {
    match spare.pop() {
        Some(mut place) => {
            *place = value;
            place
        }
        None => Box::new(value),
    }
}
