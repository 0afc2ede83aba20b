-- At the first start only. Every role may otherwise enter every database, and make temporary tables; the migrations let
-- each service's role into this one.
REVOKE ALL ON DATABASE planstream FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
