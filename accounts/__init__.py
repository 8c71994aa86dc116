"""Who you are and what you may do: users, roles, sessions, API tokens."""
