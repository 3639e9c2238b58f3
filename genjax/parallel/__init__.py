"""Devices and processes: meshes and sharding rules, cluster detection, rendezvous, preemption."""
