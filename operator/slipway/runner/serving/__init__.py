"""What a serving pod does beside MLflow's scoring application: bounds on bodies, and the fast way."""
