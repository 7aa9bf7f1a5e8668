//! State over packets. Track remembers and never judges.
