CREATE TABLE public.archsearch_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.attempt (
    trial integer NOT NULL,
    epoch integer NOT NULL,
    driver_epoch integer NOT NULL,
    owner character varying(255) NOT NULL,
    started double precision NOT NULL,
    ended double precision,
    reason text,
    cpu_seconds double precision NOT NULL,
    gpu_seconds double precision NOT NULL
);
CREATE TABLE public.result (
    trial integer NOT NULL,
    epoch integer NOT NULL,
    metrics text NOT NULL,
    curve text NOT NULL,
    timings text NOT NULL,
    message text NOT NULL,
    weights text,
    lost boolean NOT NULL,
    seal character varying(255) NOT NULL
);
CREATE TABLE public.study (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    fingerprint text NOT NULL,
    space text NOT NULL,
    settings text NOT NULL,
    seal character varying(255) NOT NULL,
    created double precision NOT NULL,
    driver character varying(255),
    driver_epoch integer NOT NULL,
    lease_until double precision,
    active_seconds double precision NOT NULL,
    ended text
);
CREATE SEQUENCE public.study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_id_seq OWNED BY public.study.id;
CREATE TABLE public.trial (
    id integer NOT NULL,
    study integer NOT NULL,
    phase character varying(255) NOT NULL,
    idx integer NOT NULL,
    role text NOT NULL,
    point text NOT NULL,
    architecture text NOT NULL,
    digest character varying(255) NOT NULL,
    seed bigint NOT NULL,
    job_key character varying(255) NOT NULL,
    state character varying(255) NOT NULL,
    epoch integer NOT NULL,
    seal character varying(255) NOT NULL
);
CREATE SEQUENCE public.trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_id_seq OWNED BY public.trial.id;
ALTER TABLE ONLY public.study ALTER COLUMN id SET DEFAULT nextval('public.study_id_seq'::regclass);
ALTER TABLE ONLY public.trial ALTER COLUMN id SET DEFAULT nextval('public.trial_id_seq'::regclass);
INSERT INTO public.archsearch_version VALUES ('0001');
INSERT INTO public.attempt VALUES (1, 1, 1, '4711@elsewhere/0/0', 1795273821.609535, 1795273821.630865, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (2, 1, 1, '4711@elsewhere/0/0', 1795273821.609535, 1795273821.653808, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (3, 1, 1, '4711@elsewhere/0/0', 1795273821.630865, 1795273821.669715, 'killed by SIGKILL', 0, 0);
INSERT INTO public.attempt VALUES (4, 1, 1, '4711@elsewhere/0/0', 1795273821.653808, 1795273821.679239, 'diverged', 0, 0);
INSERT INTO public.attempt VALUES (3, 2, 1, '4711@elsewhere/0/0', 1795273821.669715, 1795273821.68647, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (5, 1, 1, '4711@elsewhere/0/0', 1795273821.679239, 1795273821.69512, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (6, 1, 1, '4711@elsewhere/0/0', 1795273821.68647, 1795273821.703547, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (8, 1, 1, '4711@elsewhere/0/0', 1795273821.703547, NULL, NULL, 0, 0);
INSERT INTO public.attempt VALUES (7, 1, 1, '4711@elsewhere/0/0', 1795273821.69512, 1795273821.713805, 'complete', 0.5, 0);
INSERT INTO public.attempt VALUES (9, 1, 1, '4711@elsewhere/0/0', 1795273821.713805, NULL, NULL, 0, 0);
INSERT INTO public.result VALUES (1, 1, '[["accuracy",0.90625],["params",8.0]]', '[[10,[["accuracy",0.2265625],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.453125],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.6796875],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.90625],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, 'ac77e16326b803b4');
INSERT INTO public.result VALUES (2, 1, '[["accuracy",0.84375],["params",32.0]]', '[[10,[["accuracy",0.2109375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.421875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.6328125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.84375],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, '6c15af443a3320cd');
INSERT INTO public.result VALUES (4, 1, '[]', '[]', '[]', 'the loss is nan at step 2 — «naïve»', NULL, false, '960a7f22dc326af0');
INSERT INTO public.result VALUES (3, 2, '[["accuracy",0.96875],["params",32.0]]', '[[10,[["accuracy",0.2421875],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.484375],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.7265625],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.96875],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, '42bd7d414b38127b');
INSERT INTO public.result VALUES (5, 1, '[["accuracy",0.609375],["params",16.0]]', '[[10,[["accuracy",0.15234375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.3046875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.45703125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.609375],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, 'c2225898f800df22');
INSERT INTO public.result VALUES (6, 1, '[["accuracy",0.109375],["params",32.0]]', '[[10,[["accuracy",0.02734375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.0546875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.08203125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.109375],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, '3c6b536903c1a1dd');
INSERT INTO public.result VALUES (7, 1, '[["accuracy",0.765625],["params",16.0]]', '[[10,[["accuracy",0.19140625],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.3828125],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.57421875],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.765625],["loss",{"$float":"inf"}]]]]', '[["cpu_seconds",0.5]]', '', NULL, false, '3dace3abbe0e9f13');
INSERT INTO public.study VALUES (1, 'released', '{"task":{"name":"parity","options":{"curriculum":"length","data_seed":0,"length":8,"test_length":null,"test_size":16,"validation_size":16}},"data":"9799e0715a9d4677","space":{"width":{"choice":[8,16,32]},"stages":[{"repeat":{"int":[1,2],"step":1,"log":false},"loops":1,"tie":{"layer":"shared","options":{"embedding":false}},"halting":{"layer":"none","options":{}},"blocks":[{"cell":{"choice":[{"layer":"gru","options":{"reset":"after","update_bias":1.0,"heads":1}},{"layer":"rnn","options":{"activation":"tanh","init":"orthogonal","scale":1.0,"heads":1}},{"layer":"lru","options":{"state":{"choice":[8,16]},"r_min":0.0,"r_max":0.999,"max_phase":6.28}}]},"gate":{"choice":[{"layer":"additive","options":{}},{"layer":"highway","options":{"bias":-2.0}}]},"channel":{"layer":"none","options":{}},"norm":{"layer":"rmsnorm","options":{}}}]}],"training":{"layer":"adamw","options":{"lr":{"float":[0.001,0.03],"step":null,"log":true},"steps":40,"batch":64,"weight_decay":0.01,"clip":1.0,"warmup":0.1,"evaluations":4}},"embed":{"layer":"linear","options":{"positions":"none"}},"norm":{"layer":"rmsnorm","options":{}},"head":{"layer":"linear","options":{"pool":"last","dropout":0.0}},"sparsity":{"layer":"none","options":{}}},"sampler":{"name":"random","options":{}},"seed":3,"lag":4,"stopping":{"name":"median","options":{"after":0.2,"warmup":10,"window":100}},"objectives":{"accuracy":"max"},"constraints":{},"plugins":{}}', 'archsearch: 1
name: released
task: {name: parity, length: 8, validation_size: 16, test_size: 16}
space:
  width: {choice: [8, 16, 32]}
  stages:
    - repeat: {int: [1, 2]}
      blocks:
        - cell: {choice: [gru, rnn, {name: lru, state: {choice: [8, 16]}}]}
          gate: {choice: [additive, highway]}
  training: {lr: {float: [1.0e-3, 3.0e-2], log: true}, steps: 40, evaluations: 4}
search: {trials: 12, seed: 3, lag: 4, sampler: random, stopping: median}
confirm: {finalists: 2, seeds: 2, baselines: [gru]}
', '{"label":"parity","facts":{"kind":"generated","metrics":[["accuracy","max"],["loss","min"]],"chance":{"accuracy":0.5,"loss":0.6931471805599453},"trivial":{"majority":{"accuracy":0.5234375,"loss":0.6921703795247454},"last input":{"accuracy":0.515625,"loss":1.1696411703050575}},"signature":{"inputs":"tokens","channels":2,"targets":"class","outputs":2,"every_step":true,"length":8},"data":{"task":"parity","data":"drawn on the spot","train":"endless","validation":16,"test":16,"length":8,"test_length":null,"inputs":2,"outputs":2,"notes":[]},"preparation":{"kind":"generated","task":"parity","signature":{"inputs":"tokens","channels":2,"targets":"class","outputs":2,"every_step":true,"length":8}}},"objectives":[["accuracy","max"]],"constraints":[],"trials":12,"seed":3,"confirm":{"finalists":2,"seeds":2,"baselines":["gru"]}}', '96e293f98cdb9642', 1795273821.551296, '4711@elsewhere/0/0', 1, 0, 0.14393391999965388, NULL);
INSERT INTO public.trial VALUES (1, 1, 'search', 0, '', '[["width",0],["stages.0.repeat",1],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.0017348766584607935]]', '{"width":8,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.0017348766584607935,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', '38ba7d94a9b8642b', 2891318248600254080, '7000c08f22907e1e', 'complete', 1, '4df897c68dbd0059');
INSERT INTO public.trial VALUES (2, 1, 'search', 1, '', '[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.002849892813074174]]', '{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.002849892813074174,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', '4c2b33cf7d0fd814', 875983371012534411, '9888a5b29b85f7f1', 'complete', 1, '56bd7bd9fc3294de');
INSERT INTO public.trial VALUES (4, 1, 'search', 3, '', '[["width",2],["stages.0.repeat",1],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",0],["stages.0.blocks.0.gate",0],["training.lr",0.024641272041612945]]', '{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":8}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.024641272041612945,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', 'f707131cb2b57e5d', 7013817220699458558, '71023711387e23dd', 'diverged', 1, '352be630776420c2');
INSERT INTO public.trial VALUES (3, 1, 'search', 2, '', '[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",1],["stages.0.blocks.0.gate",0],["training.lr",0.001262560348678608]]', '{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":16}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.001262560348678608,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', 'e7e2a87e3d18ccf9', 6277442508537802716, '0046c2dd938d2a05', 'complete', 2, '677fd658c5666b13');
INSERT INTO public.trial VALUES (5, 1, 'search', 4, '', '[["width",1],["stages.0.repeat",2],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",0],["training.lr",0.005535017989882872]]', '{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.005535017989882872,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', 'e4ea01a9633a2485', 8987643346763142077, 'cd01e7fcc9fecb04', 'complete', 1, 'ca61a7450b213701');
INSERT INTO public.trial VALUES (6, 1, 'search', 5, '', '[["width",2],["stages.0.repeat",1],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.019331927871709207]]', '{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.019331927871709207,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', '323dea51d58e3aeb', 6473475607841185226, '36696a5dbd5ec288', 'complete', 1, '06ac4d529f809e99');
INSERT INTO public.trial VALUES (7, 1, 'search', 6, '', '[["width",1],["stages.0.repeat",1],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",1],["stages.0.blocks.0.gate",1],["training.lr",0.002159859386117991]]', '{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":16}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.002159859386117991,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', 'ac83699577459a56', 266574462039961454, '08bcea0452f1db0d', 'complete', 1, 'a8f4960a0e685f4f');
INSERT INTO public.trial VALUES (8, 1, 'search', 7, '', '[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",0],["stages.0.blocks.0.gate",0],["training.lr",0.021028716296650922]]', '{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"gru","options":{"heads":1,"reset":"after","update_bias":1.0}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.021028716296650922,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', '478f306bd38d623b', 1763882937039212123, '586230895633b22a', 'running', 1, '739351be938af260');
INSERT INTO public.trial VALUES (9, 1, 'search', 8, '', '[["width",1],["stages.0.repeat",2],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",0],["stages.0.blocks.0.gate",0],["training.lr",0.01508980276475113]]', '{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":8}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.01508980276475113,"steps":40,"warmup":0.1,"weight_decay":0.01}}}', '9f1b69ae7da610d8', 2006581148847054840, 'c9dd8f079bcd0355', 'running', 1, '8de4b652d2f16364');
SELECT pg_catalog.setval('public.study_id_seq', 1, true);
SELECT pg_catalog.setval('public.trial_id_seq', 9, true);
ALTER TABLE ONLY public.archsearch_version
    ADD CONSTRAINT archsearch_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (trial, epoch);
ALTER TABLE ONLY public.result
    ADD CONSTRAINT result_pkey PRIMARY KEY (trial);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT study_name_key UNIQUE (name);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT study_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_place UNIQUE (study, phase, idx);
CREATE INDEX trial_job_key ON public.trial USING btree (job_key);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_trial_fkey FOREIGN KEY (trial) REFERENCES public.trial(id);
ALTER TABLE ONLY public.result
    ADD CONSTRAINT result_trial_fkey FOREIGN KEY (trial) REFERENCES public.trial(id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_study_fkey FOREIGN KEY (study) REFERENCES public.study(id);
