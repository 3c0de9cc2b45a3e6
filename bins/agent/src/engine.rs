//! The side that decides and acts: allocator, journal, EC2, policy refresh.
