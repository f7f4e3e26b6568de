BEGIN TRANSACTION;
CREATE TABLE archsearch_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT archsearch_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "archsearch_version" VALUES('0001');
CREATE TABLE attempt (
	trial INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	driver_epoch INTEGER NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	started DOUBLE NOT NULL, 
	ended DOUBLE, 
	reason TEXT, 
	cpu_seconds DOUBLE NOT NULL, 
	gpu_seconds DOUBLE NOT NULL, 
	PRIMARY KEY (trial, epoch), 
	FOREIGN KEY(trial) REFERENCES trial (id)
);
INSERT INTO "attempt" VALUES(1,1,1,'4711@elsewhere/0/0',1.79527381922982931135e+09,1.795273819258995533e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(2,1,1,'4711@elsewhere/0/0',1.79527381922982931135e+09,1.79527381928150129315e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(3,1,1,'4711@elsewhere/0/0',1.795273819258995533e+09,1.79527381934932494167e+09,'killed by SIGKILL',0.0,0.0);
INSERT INTO "attempt" VALUES(4,1,1,'4711@elsewhere/0/0',1.79527381928150129315e+09,1.79527381937905526165e+09,'diverged',0.0,0.0);
INSERT INTO "attempt" VALUES(3,2,1,'4711@elsewhere/0/0',1.79527381934932494167e+09,1.79527381940813970571e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(5,1,1,'4711@elsewhere/0/0',1.79527381937905526165e+09,1.79527381943320226667e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(6,1,1,'4711@elsewhere/0/0',1.79527381940813970571e+09,1.79527381945885539053e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(7,1,1,'4711@elsewhere/0/0',1.79527381943320226667e+09,1.79527381947871279713e+09,'complete',0.5,0.0);
INSERT INTO "attempt" VALUES(8,1,1,'4711@elsewhere/0/0',1.79527381945885539053e+09,NULL,NULL,0.0,0.0);
INSERT INTO "attempt" VALUES(9,1,1,'4711@elsewhere/0/0',1.79527381947871279713e+09,NULL,NULL,0.0,0.0);
CREATE TABLE result (
	trial INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	metrics TEXT NOT NULL, 
	curve TEXT NOT NULL, 
	timings TEXT NOT NULL, 
	message TEXT NOT NULL, 
	weights TEXT, 
	lost BOOLEAN NOT NULL, 
	seal VARCHAR(255) NOT NULL, 
	PRIMARY KEY (trial), 
	FOREIGN KEY(trial) REFERENCES trial (id)
);
INSERT INTO "result" VALUES(1,1,'[["accuracy",0.90625],["params",8.0]]','[[10,[["accuracy",0.2265625],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.453125],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.6796875],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.90625],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'ac77e16326b803b4');
INSERT INTO "result" VALUES(2,1,'[["accuracy",0.84375],["params",32.0]]','[[10,[["accuracy",0.2109375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.421875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.6328125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.84375],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'6c15af443a3320cd');
INSERT INTO "result" VALUES(3,2,'[["accuracy",0.96875],["params",32.0]]','[[10,[["accuracy",0.2421875],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.484375],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.7265625],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.96875],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'42bd7d414b38127b');
INSERT INTO "result" VALUES(4,1,'[]','[]','[]','the loss is nan at step 2 — «naïve»',NULL,0,'960a7f22dc326af0');
INSERT INTO "result" VALUES(5,1,'[["accuracy",0.609375],["params",16.0]]','[[10,[["accuracy",0.15234375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.3046875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.45703125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.609375],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'c2225898f800df22');
INSERT INTO "result" VALUES(6,1,'[["accuracy",0.109375],["params",32.0]]','[[10,[["accuracy",0.02734375],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.0546875],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.08203125],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.109375],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'3c6b536903c1a1dd');
INSERT INTO "result" VALUES(7,1,'[["accuracy",0.765625],["params",16.0]]','[[10,[["accuracy",0.19140625],["loss",{"$float":"inf"}]]],[20,[["accuracy",0.3828125],["loss",{"$float":"inf"}]]],[30,[["accuracy",0.57421875],["loss",{"$float":"inf"}]]],[40,[["accuracy",0.765625],["loss",{"$float":"inf"}]]]]','[["cpu_seconds",0.5]]','',NULL,0,'3dace3abbe0e9f13');
CREATE TABLE study (
	id INTEGER NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	fingerprint TEXT NOT NULL, 
	space TEXT NOT NULL, 
	settings TEXT NOT NULL, 
	seal VARCHAR(255) NOT NULL, 
	created DOUBLE NOT NULL, 
	driver VARCHAR(255), 
	driver_epoch INTEGER NOT NULL, 
	lease_until DOUBLE, 
	active_seconds DOUBLE NOT NULL, 
	ended TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "study" VALUES(1,'released','{"task":{"name":"parity","options":{"curriculum":"length","data_seed":0,"length":8,"test_length":null,"test_size":16,"validation_size":16}},"data":"9799e0715a9d4677","space":{"width":{"choice":[8,16,32]},"stages":[{"repeat":{"int":[1,2],"step":1,"log":false},"loops":1,"tie":{"layer":"shared","options":{"embedding":false}},"halting":{"layer":"none","options":{}},"blocks":[{"cell":{"choice":[{"layer":"gru","options":{"reset":"after","update_bias":1.0,"heads":1}},{"layer":"rnn","options":{"activation":"tanh","init":"orthogonal","scale":1.0,"heads":1}},{"layer":"lru","options":{"state":{"choice":[8,16]},"r_min":0.0,"r_max":0.999,"max_phase":6.28}}]},"gate":{"choice":[{"layer":"additive","options":{}},{"layer":"highway","options":{"bias":-2.0}}]},"channel":{"layer":"none","options":{}},"norm":{"layer":"rmsnorm","options":{}}}]}],"training":{"layer":"adamw","options":{"lr":{"float":[0.001,0.03],"step":null,"log":true},"steps":40,"batch":64,"weight_decay":0.01,"clip":1.0,"warmup":0.1,"evaluations":4}},"embed":{"layer":"linear","options":{"positions":"none"}},"norm":{"layer":"rmsnorm","options":{}},"head":{"layer":"linear","options":{"pool":"last","dropout":0.0}},"sparsity":{"layer":"none","options":{}}},"sampler":{"name":"random","options":{}},"seed":3,"lag":4,"stopping":{"name":"median","options":{"after":0.2,"warmup":10,"window":100}},"objectives":{"accuracy":"max"},"constraints":{},"plugins":{}}','archsearch: 1
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
','{"label":"parity","facts":{"kind":"generated","metrics":[["accuracy","max"],["loss","min"]],"chance":{"accuracy":0.5,"loss":0.6931471805599453},"trivial":{"majority":{"accuracy":0.5234375,"loss":0.6921703795247454},"last input":{"accuracy":0.515625,"loss":1.1696411703050575}},"signature":{"inputs":"tokens","channels":2,"targets":"class","outputs":2,"every_step":true,"length":8},"data":{"task":"parity","data":"drawn on the spot","train":"endless","validation":16,"test":16,"length":8,"test_length":null,"inputs":2,"outputs":2,"notes":[]},"preparation":{"kind":"generated","task":"parity","signature":{"inputs":"tokens","channels":2,"targets":"class","outputs":2,"every_step":true,"length":8}}},"objectives":[["accuracy","max"]],"constraints":[],"trials":12,"seed":3,"confirm":{"finalists":2,"seeds":2,"baselines":["gru"]}}','96e293f98cdb9642',1.7952738191739361286e+09,'4711@elsewhere/0/0',1,0.0,2.77187089999642921611e-01,NULL);
CREATE TABLE trial (
	id INTEGER NOT NULL, 
	study INTEGER NOT NULL, 
	phase VARCHAR(255) NOT NULL, 
	idx INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	point TEXT NOT NULL, 
	architecture TEXT NOT NULL, 
	digest VARCHAR(255) NOT NULL, 
	seed BIGINT NOT NULL, 
	job_key VARCHAR(255) NOT NULL, 
	state VARCHAR(255) NOT NULL, 
	epoch INTEGER NOT NULL, 
	seal VARCHAR(255) NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT trial_place UNIQUE (study, phase, idx), 
	FOREIGN KEY(study) REFERENCES study (id)
);
INSERT INTO "trial" VALUES(1,1,'search',0,'','[["width",0],["stages.0.repeat",1],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.0017348766584607935]]','{"width":8,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.0017348766584607935,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','38ba7d94a9b8642b',2891318248600254080,'7000c08f22907e1e','complete',1,'4df897c68dbd0059');
INSERT INTO "trial" VALUES(2,1,'search',1,'','[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.002849892813074174]]','{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.002849892813074174,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','4c2b33cf7d0fd814',875983371012534411,'9888a5b29b85f7f1','complete',1,'56bd7bd9fc3294de');
INSERT INTO "trial" VALUES(3,1,'search',2,'','[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",1],["stages.0.blocks.0.gate",0],["training.lr",0.001262560348678608]]','{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":16}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.001262560348678608,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','e7e2a87e3d18ccf9',6277442508537802716,'0046c2dd938d2a05','complete',2,'677fd658c5666b13');
INSERT INTO "trial" VALUES(4,1,'search',3,'','[["width",2],["stages.0.repeat",1],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",0],["stages.0.blocks.0.gate",0],["training.lr",0.024641272041612945]]','{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":8}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.024641272041612945,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','f707131cb2b57e5d',7013817220699458558,'71023711387e23dd','diverged',1,'352be630776420c2');
INSERT INTO "trial" VALUES(5,1,'search',4,'','[["width",1],["stages.0.repeat",2],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",0],["training.lr",0.005535017989882872]]','{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.005535017989882872,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','e4ea01a9633a2485',8987643346763142077,'cd01e7fcc9fecb04','complete',1,'ca61a7450b213701');
INSERT INTO "trial" VALUES(6,1,'search',5,'','[["width",2],["stages.0.repeat",1],["stages.0.blocks.0.cell",1],["stages.0.blocks.0.gate",1],["training.lr",0.019331927871709207]]','{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"rnn","options":{"activation":"tanh","heads":1,"init":"orthogonal"}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.019331927871709207,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','323dea51d58e3aeb',6473475607841185226,'36696a5dbd5ec288','complete',1,'06ac4d529f809e99');
INSERT INTO "trial" VALUES(7,1,'search',6,'','[["width",1],["stages.0.repeat",1],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",1],["stages.0.blocks.0.gate",1],["training.lr",0.002159859386117991]]','{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":16}},"gate":{"name":"highway","options":{"bias":-2.0}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":1,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.002159859386117991,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','ac83699577459a56',266574462039961454,'08bcea0452f1db0d','complete',1,'a8f4960a0e685f4f');
INSERT INTO "trial" VALUES(8,1,'search',7,'','[["width",2],["stages.0.repeat",2],["stages.0.blocks.0.cell",0],["stages.0.blocks.0.gate",0],["training.lr",0.021028716296650922]]','{"width":32,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"gru","options":{"heads":1,"reset":"after","update_bias":1.0}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.021028716296650922,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','478f306bd38d623b',1763882937039212123,'586230895633b22a','running',1,'739351be938af260');
INSERT INTO "trial" VALUES(9,1,'search',8,'','[["width",1],["stages.0.repeat",2],["stages.0.blocks.0.cell",2],["stages.0.blocks.0.cell.lru.state",0],["stages.0.blocks.0.gate",0],["training.lr",0.01508980276475113]]','{"width":16,"embed":{"name":"linear","options":{"positions":"none"}},"stages":[{"blocks":[{"cell":{"name":"lru","options":{"max_phase":6.28,"r_max":0.999,"r_min":0.0,"state":8}},"gate":{"name":"additive","options":{}},"channel":{"name":"none","options":{}},"norm":{"name":"rmsnorm","options":{}}}],"repeat":2,"loops":1,"tie":{"name":"shared","options":{"embedding":false}},"halting":{"name":"none","options":{}}}],"norm":{"name":"rmsnorm","options":{}},"head":{"name":"linear","options":{"dropout":0.0,"pool":"last"}},"sparsity":{"name":"none","options":{}},"training":{"name":"adamw","options":{"batch":64,"clip":1.0,"evaluations":4,"lr":0.01508980276475113,"steps":40,"warmup":0.1,"weight_decay":0.01}}}','9f1b69ae7da610d8',2006581148847054840,'c9dd8f079bcd0355','running',1,'8de4b652d2f16364');
CREATE INDEX trial_job_key ON trial (job_key);
COMMIT;
