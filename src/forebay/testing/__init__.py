"""Shipped test support: contract suites for every port, fakes, fault injection, whole-program simulation."""
