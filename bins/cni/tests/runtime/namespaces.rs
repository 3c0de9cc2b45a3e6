//! The descriptor that travels with the request.

use std::sync::Arc;

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, fifo},
};

#[test]
fn only_the_network_namespace_of_a_pod_is_taken() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let file = host.path("file");
    std::fs::write(&file, "").unwrap();
    let pipe = host.path("fifo");
    fifo(&pipe);
    for (path, what) in [
        (file.to_str().unwrap(), "is not a network namespace"),
        (pipe.to_str().unwrap(), "is not a network namespace"),
        ("/proc/self/ns/mnt", "is not a network namespace"),
        (
            "/proc/self/ns/net",
            "is the node's network namespace, not a pod's",
        ),
    ] {
        let (code, msg, _) = host.invocation("ADD").var("CNI_NETNS", path).run().error();
        assert_eq!((code, msg), (4, format!("CNI_NETNS: {path} {what}")));
    }
    assert_eq!(node.log(), Vec::<String>::new());
    // For a DEL they are namespaces that are gone.
    for path in [file.to_str().unwrap(), "/proc/self/ns/net"] {
        assert_eq!(host.invocation("DEL").var("CNI_NETNS", path).run().exit, 0);
    }
    assert_eq!(node.log(), ["del underlay/c1/eth0 without a namespace"; 2]);
}

#[test]
fn no_descriptor_is_held_after_the_call() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let before = host.descriptors_of_the_namespace();
    for command in ["ADD", "DEL"] {
        assert_eq!(host.call(command).exit, 0);
    }
    // The thread of a call closes its descriptor before it answers.
    assert_eq!(host.descriptors_of_the_namespace(), before);
}
