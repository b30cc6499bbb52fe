"""Plan routes, or report every reason not to; pure functions."""
