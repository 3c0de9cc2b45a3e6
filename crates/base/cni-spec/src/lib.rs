//! The CNI specification 0.3.1 to 1.1.0 as types: configuration, environment, results, errors.
