"""The gate and the services that use it."""
