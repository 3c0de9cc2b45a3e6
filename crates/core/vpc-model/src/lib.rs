//! A VPC as a pure state machine: objects, addresses, limits, lifecycles and a reference verdict.
