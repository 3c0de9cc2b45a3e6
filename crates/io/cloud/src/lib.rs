//! Clients for EC2 and the instance metadata service, with credentials, signing, budgets and typed errors.
