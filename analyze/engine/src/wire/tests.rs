//! Frames built by hand, decoded whole, cut and mangled.
