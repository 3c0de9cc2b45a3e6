//! The CNI plugin: hands the request and the pod's namespace to the agent, prints the answer.

fn main() {}
