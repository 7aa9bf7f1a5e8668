use super::*;

const OBJECTS: &str = r#"{"kind": "List", "items": [
    {"kind": "Node", "metadata": {"name": "node-a"}, "spec": {"podCIDR": "10.244.1.0/24"},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.10.11"}, {"type": "Hostname", "address": "node-a"}]}},
    {"kind": "Pod", "metadata": {"name": "old", "namespace": "shop"},
     "status": {"phase": "Failed", "podIP": "10.244.1.10", "startTime": "2026-11-20T10:00:00Z"}},
    {"kind": "Pod", "metadata": {"name": "new", "namespace": "shop"},
     "status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.10"}, {"ip": "fd00::10"}], "startTime": "2026-11-20T12:00:00Z"}},
    {"kind": "Pod", "metadata": {"name": "proxy", "namespace": "kube-system"}, "spec": {"hostNetwork": true},
     "status": {"podIP": "192.168.10.11"}},
    {"kind": "Service", "metadata": {"name": "api", "namespace": "shop"},
     "spec": {"clusterIP": "10.96.10.10", "ports": [{"name": "http", "port": 80, "nodePort": 30080}, {"port": 443}]}},
    {"kind": "Service", "metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": null}},
    {"kind": "Service", "metadata": {"name": "empty", "namespace": "shop"},
     "spec": {"clusterIP": "10.96.10.11", "ports": [{"port": 80}]}},
    {"kind": "Endpoints", "metadata": {"name": "empty", "namespace": "shop"}, "subsets": null},
    {"kind": "EndpointSlice", "metadata": {"name": "api-1", "namespace": "shop",
     "labels": {"kubernetes.io/service-name": "api"}},
     "endpoints": [{"addresses": ["10.244.1.10"]}, {"addresses": ["10.244.2.77"], "conditions": {"ready": true}},
                   {"addresses": ["10.244.2.78"], "conditions": {"ready": false}}]},
    {"kind": "Pod", "metadata": 7},
    {"kind": "Unheard", "spec": []}
]}"#;

const NOW: &str = "2026-11-20T13:00:00.123456789Z";

#[test]
fn addresses_have_the_names_of_their_owners() {
    let directory = Directory::from_kube(OBJECTS.as_bytes()).unwrap();
    let names = [
        ("192.168.10.11", Some("node-a")),
        ("192.168.10.11:30080", Some("shop/api:http (NodePort) on node-a")),
        ("10.244.1.0", Some("node-a (overlay)")),
        ("10.244.1.1", Some("node-a (bridge)")),
        ("10.244.1.10:8080", Some("shop/new")),
        ("[fd00::10]:8080", Some("shop/new")),
        ("fd00::10", Some("shop/new")),
        ("10.96.10.10", Some("shop/api")),
        ("10.96.10.10:80", Some("shop/api:http")),
        ("10.96.10.10:443", Some("shop/api:443")),
        ("10.244.2.77:8080", Some("endpoint of shop/api (not a pod)")),
        ("10.244.2.78", None),
        ("None", None),
        ("eth0", None),
    ];
    for (address, name) in names {
        assert_eq!(directory.name(address, NOW).as_deref(), name, "{address}");
    }
    assert_eq!(directory.left_out, 1);
}

#[test]
fn a_pod_that_ended_had_its_address_before() {
    let directory = Directory::from_kube(OBJECTS.as_bytes()).unwrap();
    assert_eq!(directory.name("10.244.1.10", "2026-11-20T11:00:00.5Z").as_deref(), Some("shop/old"));
    assert_eq!(directory.name("10.244.1.10", NOW).as_deref(), Some("shop/new"));
}

#[test]
fn services_are_known_to_be_empty() {
    let directory = Directory::from_kube(OBJECTS.as_bytes()).unwrap();
    let server = |last: u8, port: u16| Endpoint { addr: Addr::v4([10, 96, 10, last]), port };
    assert_eq!(directory.has_endpoints(server(10, 80)), Some(true));
    assert_eq!(directory.has_endpoints(server(11, 80)), Some(false));
    assert_eq!(directory.has_endpoints(server(12, 80)), None);
    assert!(directory.is_service(Addr::v4([10, 96, 10, 11])));
}

#[test]
fn objects_come_in_several_forms() {
    let list = r#"{"kind": "PodList", "items": [{"metadata": {"name": "a"}, "status": {"podIP": "10.0.0.1"}}]}"#;
    let two = format!("{list}\n{}", list.replace("\"a\"", "\"b\"").replace("10.0.0.1", "10.0.0.2"));
    let directory = Directory::from_kube(two.as_bytes()).unwrap();
    assert_eq!(directory.name("10.0.0.2", NOW).as_deref(), Some("default/b"));
    assert!(Directory::from_kube(b"apiVersion: v1").is_err());
    assert!(Directory::from_kube(b"").unwrap().is_empty());
    assert!(Directory::from_kube(b"[1, null, {}]").unwrap().is_empty());
}
